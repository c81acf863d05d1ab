"""The networks of the containers: a bridge each, and an interface for each network that a service is on.

What goes here: cables, addresses, names, published ports, and a stranger's machine that looks at this one from outside.
What does not: what runs in a container (`engine`). The network namespace that this runs in stands for the machine that
Docker is on: it has the bridges, so it reaches every container, as a Docker host does; others reach its own address.
Nothing is passed on from one bridge to another, and a network that is internal has no way out.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from ibkr_assets_tests.compose import stranger
from ibkr_assets_tests.security.ports import plain

_BOUND_S = 20.0
#: This machine's own interface, that strangers see; no network of the file has this name.
_STREET = "street"
#: The state of a socket in /proc/net/tcp.
_LISTENS = "0A"


@dataclass(slots=True)
class Networks:
    """The networks of the file, as `networks:` says them. To be made in a network namespace of its own."""

    defined: Mapping[str, Mapping[str, Any] | None]
    _numbers: Any = field(default_factory=lambda: count(2))
    _cables: Any = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        """Make the bridges."""
        for name in self.defined:
            _ip(
                f"link add {name} type bridge", f"address add {self._bridge(name)}/24 dev {name}", f"link set {name} up"
            )
        _ip("link set lo up")

    def new_addresses(self, names: Iterable[str]) -> dict[str, str]:
        """The next address on each of these networks."""
        number = next(self._numbers)
        return {name: f"{self._subnet(name)}.{number}" for name in names}

    def connect(self, process: subprocess.Popen[Any], addresses: Mapping[str, str]) -> None:
        """Cable a container, once it has a namespace of its own; its shell waits for that (`wait_for_cables`)."""
        _wait_for_namespace(process)
        for number, (network, address) in enumerate(addresses.items()):
            # The neighbours remember who had an address: it goes with the container, however often that begins again.
            hardware = "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))
            name = f"cable-{next(self._cables)}"
            _ip(
                f"link add {name} type veth peer name eth{number} address {hardware} netns {process.pid}",
                f"link set {name} master {network}", f"link set {name} up",
            )  # fmt: skip

    def wait_for_cables(self, addresses: Mapping[str, str]) -> list[str]:
        """What a container's shell does before anything else. The way out is through a network that has one."""
        lines = ["ip link set lo up"]
        for number, address in enumerate(addresses.values()):
            name = f"eth{number}"
            lines += [
                f"until ip link show {name} >/dev/null 2>&1; do sleep 0.02; done",
                f"ip address add {address}/24 dev {name}", f"ip link set {name} up",
            ]  # fmt: skip
        return lines + [f"ip route add default via {self._bridge(name)}" for name in self._outward(addresses)[:1]]

    def publish(self, text: str, addresses: Mapping[str, str]) -> None:
        """A port as the file says it, `[ADDRESS:]PORT:INSIDE`; without an address on all, as Docker does.

        Raises ValueError for a service whose networks are all internal: nobody outside would get an answer.
        """
        if not self._outward(addresses):
            raise ValueError(f"ports: {text}: published, but every network of {list(addresses)} is internal")
        *at, port, inside = text.rsplit(":", 2)
        server = socket.create_server((at[0] if at else "0.0.0.0", int(port)))
        address = addresses[self._outward(addresses)[0]]
        threading.Thread(target=_forward, args=(server, (address, int(inside))), daemon=True).start()

    def look_from_outside(self, elsewhere: dict[str, list[int]]) -> list[list[Any]]:
        """What a stranger beside this machine can connect to: every port of it, and of `elsewhere` those named.

        Gives [address, port] of each that answered.
        """
        command = ["unshare", "--net", sys.executable, "-m", stranger.__name__, json.dumps(elsewhere)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            _wait_for_namespace(process)
            _ip(
                f"link add {_STREET} type veth peer name eth0 netns {process.pid}",
                f"address add {stranger.MACHINE}/24 dev {_STREET}", f"link set {_STREET} up",
            )  # fmt: skip
            told, _ = process.communicate(timeout=120)
        found: list[list[Any]] = json.loads(told)
        return found

    def _subnet(self, name: str) -> str:
        return f"10.77.{list(self.defined).index(name)}"

    def _bridge(self, name: str) -> str:
        return f"{self._subnet(name)}.1"

    def _outward(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if not (self.defined[name] or {}).get("internal")]


def listening_on(pid: int) -> set[tuple[str, int]]:
    """Address and port of every TCP socket that listens in the network namespace of a process."""
    found = set()
    for family, name in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in Path(f"/proc/{pid}/net/{name}").read_text(encoding="ascii").splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            host, _, port = local.partition(":")
            if state == _LISTENS:
                words = [int(host[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(host), 8)]
                found.add((plain(socket.inet_ntop(family, b"".join(words))), int(port, 16)))
    return found


def has_way_out(pid: int) -> bool:
    """Whether the network namespace of a process sends what it does not know the way of to anybody."""
    _, *routes = Path(f"/proc/{pid}/net/route").read_text(encoding="ascii").splitlines()
    return any(route.split()[1] == "00000000" for route in routes)


def look_from(pid: int, elsewhere: Mapping[str, Iterable[int]]) -> list[list[Any]]:
    """What the container of a process can connect to: [address, port] of those named that answered."""
    command = ["nsenter", f"--target={pid}", "--net", sys.executable, "-m", stranger.__name__, "--here"]
    done = subprocess.run(
        [*command, json.dumps({one: list(ports) for one, ports in elsewhere.items()})], capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    found: list[list[Any]] = json.loads(done.stdout)
    return found


def _wait_for_namespace(process: subprocess.Popen[Any]) -> None:
    own, here = Path(f"/proc/{process.pid}/ns/net"), Path("/proc/self/ns/net")
    deadline = time.monotonic() + _BOUND_S
    while own.readlink() == here.readlink():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r}: no network namespace of its own")
        time.sleep(0.01)


def _ip(*lines: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True, timeout=10)


def _forward(server: socket.socket, to: tuple[str, int]) -> None:
    while True:
        client, _ = server.accept()
        threading.Thread(target=_carry, args=(client, to), daemon=True).start()


def _carry(client: socket.socket, to: tuple[str, int]) -> None:
    """Bytes both ways, until either side has no more."""
    with closing(client), suppress(OSError), socket.create_connection(to, timeout=5) as inside:
        inside.settimeout(None)
        back = threading.Thread(target=_pump, args=(inside, client), daemon=True)
        back.start()
        _pump(client, inside)
        back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)

"""The network of the containers: each has an interface of its own on one bridge, and ports are published by the file.

What goes here: cables, addresses, published ports, and a stranger's machine that looks at this one from outside. What
does not: what runs in a container (`engine`). The network namespace that this runs in stands for the machine that
Docker is on: it has the bridge, so it reaches every container, as a Docker host does; others reach its own address.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from ibkr_assets_tests.compose import stranger
from ibkr_assets_tests.security.ports import plain

_BRIDGE, _BRIDGE_ADDRESS = "containers", "10.77.0.1"
_BOUND_S = 20.0
#: The state of a socket in /proc/net/tcp.
_LISTENS = "0A"


@dataclass(slots=True)
class Network:
    """One bridge. To be made in a network namespace of its own."""

    _numbers: Any = field(default_factory=lambda: count(2))
    _cables: Any = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        """Make the bridge."""
        _ip(
            "link set lo up", f"link add {_BRIDGE} type bridge", f"address add {_BRIDGE_ADDRESS}/24 dev {_BRIDGE}",
            f"link set {_BRIDGE} up",
        )  # fmt: skip

    def new_address(self) -> str:
        """The next address on the bridge."""
        return f"10.77.0.{next(self._numbers)}"

    def connect(self, process: subprocess.Popen[Any], address: str) -> None:
        """Cable a container, once it has a namespace of its own; its shell waits for that (`wait_for_cable`)."""
        _wait_for_namespace(process)
        # The neighbours remember who had an address: it goes with the container, however often that begins again.
        hardware = "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))
        name = f"cable-{next(self._cables)}"
        _ip(
            f"link add {name} type veth peer name eth0 address {hardware} netns {process.pid}",
            f"link set {name} master {_BRIDGE}", f"link set {name} up",
        )  # fmt: skip

    def publish(self, text: str, address: str) -> None:
        """A port as the file says it, `[ADDRESS:]PORT:INSIDE`; without an address on all, as Docker does."""
        *at, port, inside = text.rsplit(":", 2)
        server = socket.create_server((at[0] if at else "0.0.0.0", int(port)))
        threading.Thread(target=_forward, args=(server, (address, int(inside))), daemon=True).start()

    def look_from_outside(self, elsewhere: dict[str, list[int]]) -> list[list[Any]]:
        """What a stranger beside this machine can connect to: every port of it, and of `elsewhere` those named.

        Gives [address, port] of each that answered.
        """
        command = ["unshare", "--net", sys.executable, "-m", stranger.__name__, json.dumps(elsewhere)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            _wait_for_namespace(process)
            _ip(
                f"link add outside type veth peer name eth0 netns {process.pid}",
                f"address add {stranger.MACHINE}/24 dev outside", "link set outside up",
            )  # fmt: skip
            told, _ = process.communicate(timeout=120)
        found: list[list[Any]] = json.loads(told)
        return found


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


def wait_for_cable(address: str) -> list[str]:
    """What a container's shell does before anything else."""
    return [
        "until ip link show eth0 >/dev/null 2>&1; do sleep 0.02; done", "ip link set lo up",
        f"ip address add {address}/24 dev eth0", "ip link set eth0 up",
    ]  # fmt: skip


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

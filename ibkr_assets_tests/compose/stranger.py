"""A machine beside the one that the containers are on: `python -m ... JSON` tells what it could connect to.

It waits for its cable, sends whatever it does not know the way of to the machine of the containers, and tries every
port of that one, and the ports named in JSON (`{address: [ports]}`). With `--here` it has its network already, and
tries the ports named alone.
"""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

#: Addresses that documentation may use (RFC 5737): of the machine that is looked at, and of this one.
MACHINE, ITSELF = "192.0.2.1", "192.0.2.2"
#: An answer takes a tenth of a millisecond; what is filtered or has no way back never comes.
_TIMEOUT_S = 0.3
_TRIES_AT_ONCE = 64
_CABLE_BOUND_S = 10.0


def open_ports(address: str, ports: Iterable[int]) -> Iterator[int]:
    """Ports that take a connection. One that a probe has happened to be given may meet itself there."""

    def takes(port: int) -> bool:
        with socket.socket() as probe:
            probe.settimeout(_TIMEOUT_S)
            return probe.connect_ex((address, port)) == 0 and probe.getsockname() != probe.getpeername()

    wanted = list(ports)
    with ThreadPoolExecutor(_TRIES_AT_ONCE) as pool:
        yield from (port for port, is_open in zip(wanted, pool.map(takes, wanted), strict=True) if is_open)


def main(elsewhere: dict[str, list[int]], *, is_here: bool) -> None:
    """Look, and tell."""
    wanted: dict[str, Iterable[int]] = {**elsewhere}
    if not is_here:
        _join()
        wanted = {MACHINE: range(1, 65536), **elsewhere}
    found = [[address, port] for address, ports in wanted.items() for port in open_ports(address, ports)]
    sys.stdout.write(json.dumps(found))


def _join() -> None:
    """Take the cable, and wait until the machine answers."""
    deadline = time.monotonic() + _CABLE_BOUND_S
    while "eth0" not in [name for _, name in socket.if_nameindex()]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no cable within {_CABLE_BOUND_S:g} s")
        time.sleep(0.01)
    for line in (
        f"address add {ITSELF}/24 dev eth0", "link set lo up", "link set eth0 up", f"route add default via {MACHINE}"
    ):  # fmt: skip
        subprocess.run(["ip", *line.split()], check=True, timeout=10)
    _wait_for_answer()


def _wait_for_answer() -> None:
    """Until the machine answers at all; a port that is shut says so."""
    deadline = time.monotonic() + _CABLE_BOUND_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(_TIMEOUT_S)
            if probe.connect_ex((MACHINE, 1)) in (0, errno.ECONNREFUSED):
                return
        time.sleep(0.02)
    raise TimeoutError(f"{MACHINE} does not answer")


if __name__ == "__main__":
    main(json.loads(sys.argv[-1]), is_here="--here" in sys.argv)

"""Which ports processes listen on, and which of them answer an address of this machine that is not loopback."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable

import psutil


def listening(pids: Iterable[int]) -> set[tuple[str, int]]:
    """Address and port of every TCP socket that these processes and their children listen on."""
    found = set()
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(pid)
            for process in (own, *own.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    for one in process.net_connections(kind="tcp"):
                        if one.status == psutil.CONN_LISTEN:
                            found.add((plain(one.laddr.ip), one.laddr.port))
    return found


def plain(address: str) -> str:
    """An IPv4 address that a socket of IPv6 has, without what makes it one."""
    return str(getattr(ipaddress.ip_address(address), "ipv4_mapped", None) or address)


def outside_addresses() -> list[str]:
    """This machine's addresses that others reach it by."""
    found = []
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family in (socket.AF_INET, socket.AF_INET6) and "%" not in one.address:
                address = ipaddress.ip_address(one.address)
                if not address.is_loopback and not address.is_link_local:
                    found.append(one.address)
    return found


def answering(ports: Iterable[int]) -> set[tuple[str, int]]:
    """Which of these ports take a connection at an outside address."""
    found = set()
    for address in outside_addresses():
        for port in ports:
            with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1.0):
                found.add((address, port))
    return found

"""Runs a gateway: the API port and the admin port in one process, until it is told to stop.

What is served is in `face`; this module owns sockets, signals and the pulse of a running clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.simulator.face.admin import AdminShell
from ibkr_assets.simulator.face.routes import API_ROUTES
from ibkr_assets.simulator.face.shell import PREFIX, ApiShell, Connections
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.options import GatewayOptions
from ibkr_assets.simulator.tape_files import load_tape

_PULSE_S = 0.05
_STOP_BOUND_S = 2


class _Server(uvicorn.Server):
    """A server that leaves signals to this module: two of them share one process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(options: GatewayOptions) -> None:
    """Serve in the foreground until SIGTERM or SIGINT.

    Prints `ready http://HOST:PORT/v1/api` and `admin http://HOST:PORT` on stdout when both ports listen. Raises
    ConfigurationError naming what is wrong: a port in use, a tape that is not there, a state directory that cannot
    be written; then nothing has been started.
    """
    api_socket = _listen(options.host, options.port, "port")
    try:
        admin_socket = _listen(options.host, options.admin_port, "admin_port")
    except ConfigurationError:
        api_socket.close()
        raise
    with api_socket, admin_socket:
        gateway = Gateway(options, load_tape(options.tape))
        try:
            asyncio.run(_serve(gateway, api_socket, admin_socket))
        finally:
            gateway.ledger.close()


def _listen(host: str, port: int, option: str) -> socket.socket:
    # Named as TCP, or asyncio would leave Nagle's delay on and every answer would take 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # A gateway that was killed may come back to its port at once.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"{option}: cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


async def _serve(gateway: Gateway, api_socket: socket.socket, admin_socket: socket.socket) -> None:
    options = gateway.options
    connections = Connections()
    api = _Server(
        uvicorn.Config(
            ApiShell(gateway, API_ROUTES, connections), http=connections.protocol(), lifespan="off", ws="none",
            log_config=None, log_level=logging.WARNING, access_log=False, server_header=False, date_header=False,
            timeout_graceful_shutdown=_STOP_BOUND_S, timeout_keep_alive=60,
            ssl_certfile=options.tls_cert, ssl_keyfile=options.tls_key,
        )
    )  # fmt: skip
    admin = _Server(
        uvicorn.Config(
            AdminShell(gateway), lifespan="off", ws="none", log_config=None, log_level=logging.WARNING,
            access_log=False, server_header=False, timeout_graceful_shutdown=_STOP_BOUND_S, timeout_keep_alive=60,
        )
    )  # fmt: skip
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # The sockets' names must be asked for while they are ours: a server closes them when it stops.
    scheme = "http" if options.tls_cert is None else "https"
    ready = (
        f"ready {scheme}://{options.host}:{api_socket.getsockname()[1]}{PREFIX}\n"
        f"admin http://{options.host}:{admin_socket.getsockname()[1]}\n"
    )
    servers = [asyncio.create_task(api.serve([api_socket])), asyncio.create_task(admin.serve([admin_socket]))]
    pulse = asyncio.create_task(_pulse(gateway))
    await _until_started([api, admin])
    gateway.tls = api.config.ssl
    sys.stdout.write(ready)
    sys.stdout.flush()
    await stop.wait()
    pulse.cancel()
    api.should_exit = admin.should_exit = True
    await asyncio.gather(*servers)


async def _until_started(servers: list[_Server]) -> None:
    while not all(server.started for server in servers):  # noqa: ASYNC110 - the servers have no event to wait for
        await asyncio.sleep(0.005)


async def _pulse(gateway: Gateway) -> None:
    """A running clock makes opens and closes happen although nobody asks."""
    while True:
        gateway.tick()
        await asyncio.sleep(_PULSE_S)

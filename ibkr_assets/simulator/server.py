"""Runs a gateway: the API port and the admin port in one process, until it is told to stop.

What is served is in `face`, and how the API port opens and closes in `api_port`; this module owns the process: its
signals, what it prints, and the pulse of a running clock.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import time
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.simulator.api_port import ApiPort, QuietServer, listen
from ibkr_assets.simulator.certificates import Certificate, self_signed
from ibkr_assets.simulator.face.admin import AdminShell
from ibkr_assets.simulator.face.login_page import LoginPage
from ibkr_assets.simulator.face.routes import API_ROUTES
from ibkr_assets.simulator.face.shell import PREFIX, ApiShell, Connections
from ibkr_assets.simulator.face.streams import StreamShell
from ibkr_assets.simulator.faults.board import FaultBoard
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.options import GatewayOptions
from ibkr_assets.simulator.tape_files import load_tape

_PULSE_S = 0.05
_STOP_BOUND_S = 2
_KEEP_ALIVE_S = 60
#: A client's frames on the websocket are short.
_FRAME_BYTES = 65_536


def serve(options: GatewayOptions) -> None:
    """Serve in the foreground until SIGTERM or SIGINT.

    Prints `ready http://HOST:PORT/v1/api` and `admin http://HOST:PORT` on stdout when both ports listen, and with
    https `certificate FILE sha256:PIN`. Raises ConfigurationError naming what is wrong: a port in use, a tape that is
    not there, a directory that cannot be written; then nothing has been started.
    """
    certificate = _certificate_of(options)
    api_socket = listen(options.host, options.port, "port")
    try:
        admin_socket = listen(options.admin_host, options.admin_port, "admin_port")
    except ConfigurationError:
        api_socket.close()
        raise
    with api_socket, admin_socket:
        gateway = Gateway(options, load_tape(options.tape))
        try:
            asyncio.run(_serve(gateway, api_socket, admin_socket, certificate))
        finally:
            gateway.ledger.close()


def _certificate_of(options: GatewayOptions) -> Certificate | None:
    if options.tls_self_signed is not None:
        return self_signed(options.tls_self_signed, options.host)
    if options.tls_cert is None or options.tls_key is None:
        return None
    return Certificate(options.tls_cert, options.tls_key)


async def _serve(
    gateway: Gateway, api_socket: socket.socket, admin_socket: socket.socket, certificate: Certificate | None
) -> None:
    connections = Connections()
    faults = FaultBoard(gateway.options.seed)
    app = _Api(gateway, connections, faults)
    api = ApiPort(api_socket, lambda: _api_server(gateway, app, connections, certificate))
    gateway.close_port = api.close_for
    admin = QuietServer(_config(AdminShell(gateway, faults), ws="none"))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # A socket's name must be asked for while it is ours: a server closes it when it stops.
    scheme = "http" if certificate is None else "https"
    ready = (
        f"ready {scheme}://{api.host}:{api.port}{PREFIX}\n"
        f"admin http://{gateway.options.admin_host}:{admin_socket.getsockname()[1]}\n"
    )
    if certificate is not None:
        ready += f"certificate {certificate.cert} {certificate.pin}\n"
    tasks = [asyncio.create_task(work) for work in (api.run(), admin.serve([admin_socket]), _pulse(gateway))]
    stopping = asyncio.create_task(stop.wait())
    await _until_open(api, admin, tasks)
    sys.stdout.write(ready)
    sys.stdout.flush()
    await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
    api.stop()
    admin.should_exit = True
    tasks[-1].cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended


async def _until_open(api: ApiPort, admin: QuietServer, tasks: list[asyncio.Task[None]]) -> None:
    while not (api.is_open and admin.started):  # the servers have no event to wait for
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.005)


class _Api:
    """The ASGI application of the API port: the websocket, a person's page, and everything else."""

    def __init__(self, gateway: Gateway, connections: Connections, faults: FaultBoard) -> None:
        self._streams = StreamShell(gateway, connections)
        self._page = LoginPage(gateway)
        self._shell = ApiShell(gateway, API_ROUTES, connections, faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a connection's request to whom it is for."""
        if scope["type"] == "websocket":
            await self._streams(scope, receive, send)
        elif scope["path"] == "/":
            await self._page(scope, receive, send)
        else:
            await self._shell(scope, receive, send)


def _api_server(gateway: Gateway, app: _Api, connections: Connections, certificate: Certificate | None) -> QuietServer:
    files = {} if certificate is None else {"ssl_certfile": certificate.cert, "ssl_keyfile": certificate.key}
    config = _config(
        app, http=connections.protocol(), ws="websockets-sansio", ws_max_size=_FRAME_BYTES,
        ws_per_message_deflate=False, date_header=False, **files,
    )  # fmt: skip
    try:
        config.load()
    except OSError as error:
        raise ConfigurationError(f"tls_cert, tls_key: cannot be used: {error.strerror}") from None
    gateway.tls = config.ssl
    return QuietServer(config)


def _config(app: Any, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app, lifespan="off", log_config=None, log_level=logging.WARNING, access_log=False, server_header=False,
        timeout_graceful_shutdown=_STOP_BOUND_S, timeout_keep_alive=_KEEP_ALIVE_S, **more,
    )  # fmt: skip


async def _pulse(gateway: Gateway) -> None:
    """A running clock makes opens and closes happen although nobody asks, and websockets hear of it."""
    while True:
        gateway.tick()
        gateway.streams.pulse(gateway.mono(), round(time.time() * 1000))
        await asyncio.sleep(_PULSE_S)

"""The dashboard's process: one application behind its guard, and the server that it runs in.

What goes here: putting the parts together. What does not: any page (`dashboard.pages`), and who may see it
(`dashboard.access`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from ibkr_assets.dashboard.guard import Guard
from ibkr_assets.dashboard.login import Passwords, Sessions, link_directory, signing_key
from ibkr_assets.dashboard.pages import (
    alerts,
    backtest_launch,
    backtests,
    experiments,
    login,
    metrics,
    order_acts,
    orders,
    overview,
    permission,
    positions,
    promotion,
    quarantine,
    runs,
    signals,
    strategies,
    strategy_form,
    system,
)
from ibkr_assets.dashboard.push import Hub, live
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources
from ibkr_assets.domain.errors import ConfigurationError, InputError, LedgerConflict, StackFailure, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.settings import Settings

_PAGES = (
    login,
    overview,
    positions,
    signals,
    orders,
    order_acts,
    runs,
    experiments,
    backtest_launch,
    backtests,
    promotion,
    strategy_form,
    strategies,
    quarantine,
    alerts,
    system,
    permission,
    metrics,
)
_STATUS = {InputError: 400, ConfigurationError: 400, LedgerConflict: 409, Unavailable: 503, StackFailure: 502}


def build(sources: Sources) -> FastAPI:
    """The whole application. `sources` may be away; each page then says so."""
    settings = sources.settings.dashboard
    hub = Hub(sources.database)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        listening = asyncio.create_task(hub.listen())
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    app = FastAPI(title="ibkr_assets dashboard", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.sources = sources
    app.state.hub = hub
    app.state.directory = link_directory(sources.settings.data_dir)
    app.state.sessions = Sessions(signing_key(app.state.directory))
    app.state.passwords = Passwords(settings.users)
    for page in _PAGES:
        # One flat list: the guard looks up the route of a request before the application does.
        app.router.routes.extend(page.router.routes)
    app.add_api_websocket_route("/live", live)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    for kind in _STATUS:
        app.add_exception_handler(kind, _show_error)
    app.add_exception_handler(RequestValidationError, _show_invalid)
    app.add_exception_handler(psycopg.DataError, _show_unfit)
    hosts = (*settings.allowed_hosts, settings.host)
    app.add_middleware(Guard, router=app.router, sessions=app.state.sessions, allowed_hosts=hosts)
    return app


def serve(settings: Settings, sources: Sources, ready: Callable[[str], None]) -> None:
    """Run until a signal ends it. `ready` is told the address once it listens."""
    place = settings.dashboard
    config = uvicorn.Config(
        build(sources), host=place.host, port=place.port, log_config=None, log_level="warning", access_log=False,
        server_header=False, ws_ping_interval=20, timeout_graceful_shutdown=3,
    )  # fmt: skip
    server = uvicorn.Server(config)

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        started = time.monotonic()
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
            if time.monotonic() - started > 30:
                break
        if server.started:
            port = server.servers[0].sockets[0].getsockname()[1]
            ready(f"http://{place.host}:{port}")
        await serving

    asyncio.run(run())


def _show_error(request: Request, error: Exception) -> Response:
    status = next(code for kind, code in _STATUS.items() if isinstance(error, kind))
    return render(request, "problem.html", code=status, title="That did not work", text=str(error))


def _show_unfit(request: Request, error: Exception) -> Response:
    """A number too large for any row, a text with a zero byte: such a thing is not there."""
    text = f"{request.url.path}: no such value can be stored: {str(error).splitlines()[0]}"
    return render(request, "problem.html", code=400, title="That is no valid input", text=text)


def _show_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:])
    text = f"{name}: {first['msg']}, got {first['input']!r}"
    return render(request, "problem.html", code=400, title="That is no valid input", text=text)

"""Runs the stand-in: one port with OpenAI's two calls, and beside them the calls that change how it behaves.

What goes here: the process, HTTP, keys, and what is kept of requests. What does not: answers (`completions`). It is on
this machine alone, and forgets everything when it ends.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import signal
import socket
import sys
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ibkr_assets.simulator.analyst.completions import complete, list_models
from ibkr_assets.simulator.analyst.profiles import DEFAULT_SLOW_S, PROFILES, Behaviour
from ibkr_assets.simulator.analyst.requests import Refused, bad, read_request
from ibkr_assets.simulator.api_port import QuietServer, listen

_HOST = "127.0.0.1"
_MOST_BODY = 8_000_000
#: Requests that are kept to be looked at, the newest.
_MOST_KEPT = 2_000
_STOP_BOUND_S = 2


@dataclass(frozen=True, slots=True)
class AnalystOptions:
    """Options of one process. Without `admin_token` nobody changes its behaviour; without `api_key` any key will do."""

    port: int = 0
    admin_token: str = ""
    api_key: str = ""
    behaviour: Behaviour = field(default_factory=Behaviour)
    keeps: int = _MOST_KEPT


def serve(options: AnalystOptions) -> None:
    """Serve in the foreground until SIGTERM or SIGINT; prints `ready http://127.0.0.1:PORT/v1` when it listens.

    Raises ConfigurationError for a port in use.
    """
    with listen(_HOST, options.port, "port") as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            AnalystApp(options), lifespan="off", log_config=None, log_level=logging.WARNING, access_log=False,
            server_header=False, timeout_graceful_shutdown=_STOP_BOUND_S, ws="none",
        )  # fmt: skip
        asyncio.run(_serve(_Server(config, f"ready http://{_HOST}:{port}/v1\n"), listener))


class _Server(QuietServer):
    """Says so when it listens."""

    def __init__(self, config: uvicorn.Config, ready: str) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and write the line."""
        await super().startup(sockets)
        sys.stdout.write(self._ready)
        sys.stdout.flush()


async def _serve(server: _Server, listener: socket.socket) -> None:
    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await server.serve([listener])


class AnalystApp:
    """The ASGI application."""

    def __init__(self, options: AnalystOptions) -> None:
        self._options = options
        self._behaviour = options.behaviour
        self._kept: deque[dict[str, Any]] = deque(maxlen=options.keeps)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except ClientDisconnect:  # nobody is there to be answered
            return
        except Refused as error:
            retry = {"retry-after": "1"} if error.status == 429 else None
            answer = Response(json.dumps(error.body), error.status, retry, media_type="application/json")
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path, method = request.url.path, request.method
        if path.startswith("/admin/"):
            return _json(self._admin(method, path, await _body(request)) if self._is_admin(request) else _no_admin())
        if path == "/v1/models" and method == "GET":
            self._check_key(request)
            return _json(list_models())
        if path != "/v1/chat/completions":
            raise Refused(404, "invalid_request_error", f"Unknown request URL: {method} {path}.", code="unknown_url")
        if method != "POST":
            raise Refused(405, "invalid_request_error", f"{path} is asked with POST, not {method}.")
        body = await _body(request)
        kept = self._keep(request, body)
        self._check_key(request)
        asked = read_request(body)
        profile = kept["profile"] = self._behaviour.take()
        if profile == "slow":
            await asyncio.sleep(self._behaviour.seconds)
        if profile == "broken":
            return Response('{"choices": ', media_type="application/json")
        completion, kept["obeyed"] = complete(asked, profile)
        kept["answer"] = completion
        return _json(completion)

    def _keep(self, request: Request, body: bytes) -> dict[str, Any]:
        text = body.decode("utf-8", "replace")
        headers = dict(request.headers)
        kept: dict[str, Any] = {"headers": headers, "body": text, "profile": None, "obeyed": [], "answer": None}
        self._kept.append(kept)
        return kept

    def _check_key(self, request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._options.api_key and not hmac.compare_digest(given.encode(), self._options.api_key.encode()):
            raise Refused(401, "invalid_request_error", "Incorrect API key provided.", code="invalid_api_key")

    def _is_admin(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        token = self._options.admin_token
        return bool(token) and hmac.compare_digest(given.encode(), token.encode())

    def _admin(self, method: str, path: str, body: bytes) -> Any:
        if (method, path) == ("GET", "/admin/requests"):
            return list(self._kept)
        if (method, path) == ("DELETE", "/admin/requests"):
            self._kept.clear()
            return {}
        if (method, path) == ("POST", "/admin/profile"):
            self._behaviour = _read_behaviour(body)
        elif (method, path) != ("GET", "/admin/profile"):
            raise Refused(404, "invalid_request_error", f"no such call: {method} {path}")
        now = self._behaviour
        return {"profile": now.profile, "times": now.times, "seconds": now.seconds, "profiles": PROFILES}


def _read_behaviour(body: bytes) -> Behaviour:
    try:
        given = json.loads(body)
        behaviour = Behaviour(given["profile"], given.get("times"), float(given.get("seconds", DEFAULT_SLOW_S)))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise bad("the body is {profile, times, seconds}", "body") from None
    if behaviour.profile not in PROFILES:
        raise bad(f"profile: must be one of {', '.join(PROFILES)}, got {behaviour.profile!r}", "profile")
    if behaviour.times is not None and (not isinstance(behaviour.times, int) or behaviour.times < 1):
        raise bad(f"times: must be a whole number above zero, got {behaviour.times!r}", "times")
    return behaviour


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > _MOST_BODY:
            raise Refused(413, "invalid_request_error", f"The body is larger than {_MOST_BODY} bytes.")
        parts.append(part)
    return b"".join(parts)


def _no_admin() -> Any:
    raise Refused(401, "invalid_request_error", "the admin token is missing or wrong")


def _json(content: Any) -> Response:
    return Response(json.dumps(content), media_type="application/json")

"""What a handler gets and gives: one call of a route, and its answer as a plain value.

Matching paths to handlers is here too. Bytes on sockets are `shell`'s work, and what an answer says is the
handlers'.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from starlette.routing import compile_path

from ibkr_assets.simulator.answers import Answer, refusal
from ibkr_assets.simulator.gateway import Gateway

__all__ = ["Answer", "BadRequest", "Call", "Handler", "Needs", "Routes", "read_digits", "refusal"]

_DIGITS = re.compile("[0-9]{1,12}")


class BadRequest(Exception):
    """The request cannot be understood: a 400 with this text."""


def read_digits(text: str) -> int | None:
    """A count or an id of up to twelve plain digits; None for anything else, other scripts' digits included."""
    return int(text) if _DIGITS.fullmatch(text) else None


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no JSON")


def _read_float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a known route. `params` are the parts of the path."""

    gateway: Gateway
    route: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    peer_port: int

    def json(self) -> Any:
        """The body as JSON; an empty one is an empty object. Raises BadRequest."""
        if not self.body.strip():
            return {}
        try:
            return json.loads(self.body, parse_constant=_refuse, parse_float=_read_float)
        except (ValueError, RecursionError):
            raise BadRequest("Bad Request: request body is not JSON") from None

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object. Raises BadRequest."""
        value = self.json()
        if not isinstance(value, dict):
            raise BadRequest("Bad Request: request body is not a JSON object")
        return value

    def flag(self, name: str) -> bool:
        """A truth value of the query; clients spell it `true` and `True`."""
        return self.query.get(name, "").lower() in ("true", "1")

    def conid(self, text: str | None) -> int:
        """A contract id on this tape. Raises BadRequest."""
        conid = None if text is None else read_digits(text)
        if conid is None:
            raise BadRequest(f"Bad Request: conid is missing or no number: {text}")
        return conid


class Needs(Enum):
    """What must be there before a route answers.

    The login; with it the portfolio's accounts read, or the brokerage session, or with that the accounts read.
    """

    NOTHING = "nothing"
    LOGIN = "login"
    PORTFOLIO = "portfolio"
    BROKERAGE = "brokerage"
    ACCOUNTS = "accounts"


Handler = Callable[[Call], Answer]


class Routes:
    """Method and path to a named handler. A trailing slash of a path does not matter."""

    def __init__(self, table: Sequence[tuple[str, str, str, Handler, Needs]]) -> None:
        self._paths = [(methods, path) for methods, path, _, _, _ in table]
        self._routes = [
            (methods.split(), compile_path(path)[0], name, handler, needs)
            for methods, path, name, handler, needs in table
        ]

    @property
    def names(self) -> frozenset[str]:
        """The names of all routes."""
        return frozenset(name for _, _, name, _, _ in self._routes)

    def paths(self) -> list[tuple[str, str]]:
        """Every method with its path, as they were given."""
        return [(method, path) for methods, path in self._paths for method in methods.split()]

    def find(self, method: str, path: str) -> tuple[str, Handler, Needs, dict[str, str]] | int:
        """Name, handler, needs and path parts; or the status 404 or 405."""
        status = 404
        wanted = path.rstrip("/") or "/"
        for methods, pattern, name, handler, needs in self._routes:
            match = pattern.match(wanted)
            if match is None:
                continue
            if method in methods:
                return name, handler, needs, match.groupdict()
            status = 405
        return status

"""What every process of the platform writes about itself: one configuration, JSON lines or lines for a person.

What goes here: the form of a line, and that no secret is in one. What does not: what is worth a line (whoever logs).
Modules log with the standard library by a logger of their own name; structlog gives the lines their form, and binds
`run_id` or `client_order_id` to those of a run or an order (`bound`).
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from ibkr_assets.domain.text import visible

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

#: The variable that chooses the form: `json`, `text`, or by default text on a terminal and JSON elsewhere.
FORM_VARIABLE = "IBKR_ASSETS_LOG"
_STARS = "***"
#: Shorter ones would hide words that are no secrets.
_SHORTEST = 4
_MOST = 4000
#: A broker's account id: IBKR's letters and digits; and what stands behind a word that says that it is secret.
_ACCOUNT = re.compile(r"\b(?:D?[UFI]|DF[PO]?|DI)\d{5,9}\b")
_URL_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^@/\s]+(?=@)")
_NAMED = re.compile(
    r"(?i)\b((?:set-)?cookie|authorization|x-csrf-token|x-sess-uuid|api[_-]?key|password|passwd|secret|token|\"session\")"
    r"(['\"]?\s*[:=]\s*['\"]?)(bearer\s+|basic\s+)?([^\s'\",;&}]+)"
)
_SECRET_VARIABLES = ("TOKEN", "PASSWORD", "SECRET", "KEY", "HEARTBEAT_URL")
_SECRET_KEYS = ("cookie", "authorization", "password", "token", "secret", "api_key", "url_query")


class Redactor:
    """Takes secrets out of texts: those it was told, and those that look like one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted({one for one in secrets if len(one) >= _SHORTEST}, key=len, reverse=True)

    def text(self, value: str) -> str:
        """The text without any of them, cut where it is very long."""
        for secret in self._secrets:
            value = value.replace(secret, _STARS)
        value = _URL_PASSWORD.sub(rf"\1:{_STARS}", value)
        value = _NAMED.sub(rf"\1\2{_STARS}", value)
        value = _ACCOUNT.sub(_STARS, value)
        return value if len(value) <= _MOST else value[:_MOST] + "..."

    def value(self, key: str, value: Any) -> Any:
        """A value of a line by its name; mappings and lists as far as they go."""
        if any(word in key.lower() for word in _SECRET_KEYS):
            return _STARS
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {str(name): self.value(str(name), part) for name, part in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(key, part) for part in value]
        return value if value is None or isinstance(value, bool | int | float) else self.text(str(value))

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """As a step of structlog."""
        return {name: self.value(name, value) for name, value in event.items()}


def configure_logs(
    process: str,
    *,
    secrets: Iterable[str] = (),
    level: int = logging.INFO,
    stream: IO[str] | None = None,
    form: str | None = None,
) -> None:
    """The one configuration of a process: its lines go to `stream`, standard error where none is given.

    `secrets` are values that must not stand in any line, beside those of the environment.
    """
    import structlog

    target = stream or sys.stderr
    chosen = form or os.environ.get(FORM_VARIABLE) or ("text" if target.isatty() else "json")
    redact = Redactor([*secrets, *_of_environment(os.environ)])
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    after: list[Any] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _name_process(process),
        redact,
        _line if chosen == "text" else structlog.processors.JSONRenderer(sort_keys=True, ensure_ascii=False),
    ]
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=after, foreign_pre_chain=before, use_get_message=True)
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    # Each request is a line there, with its address; what matters of it is told by the module that asked.
    for chatty in ("httpx", "httpcore", "urllib3", "alembic", "apprise"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


@contextmanager
def bound(**ids: str) -> Iterator[None]:
    """Lines written inside carry these ids, in this thread: `run_id=...`, `client_order_id=...`."""
    import structlog

    with structlog.contextvars.bound_contextvars(**ids):
        yield


def _of_environment(environment: Mapping[str, str]) -> Iterator[str]:
    """Secrets that a process of ours is handed: passwords of URLs, tokens, the account."""
    for name, value in environment.items():
        if not name.startswith(("IBKR_ASSETS", "MLFLOW_", "DAGSTER_PG")):
            continue
        if name == "IBKR_ASSETS_ACCOUNT" or any(word in name for word in _SECRET_VARIABLES):
            yield value
        elif found := re.search(r"://[^/@:\s]*:([^@/\s]+)@", value):
            yield found[1]


def _name_process(process: str) -> Any:
    def step(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    return step


def _line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """One record as a line that a terminal shows and does not obey; a traceback below it, line by line."""
    shown = dict(event)
    head = f"{shown.pop('timestamp', '')} {shown.pop('level', '').upper():<7} {shown.pop('logger', '')}"
    text, trace = str(shown.pop("event", "")), str(shown.pop("exception", ""))
    shown.pop("process", None)
    more = "".join(f" {name}={value}" for name, value in sorted(shown.items()))
    lines = [visible(f"{head} {text}{more}"), *(visible(line) for line in trace.splitlines())]
    return "\n".join(lines)

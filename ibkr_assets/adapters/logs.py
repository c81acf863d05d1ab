"""What every process of the platform writes about itself: one configuration, JSON lines or lines for a person.

What goes here: the form of a line, and that no secret is in one. What does not: what is worth a line (whoever logs).
Modules log with the standard library by a logger of their own name; structlog gives the lines their form. A line that
names an order or a run carries its id as a field too, so that everything about one is found by one search.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr

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
#: The gateway's keep-alive answers with the session's own id; the word alone is an exchange's day.
_SESSION = re.compile(r"""(["']session["']\s*:\s*["'])[^"']+""")
_URL_PASSWORD_IN = re.compile(r"://[^/@:\s]*:([^@/\s]+)@")
_NAMED = re.compile(
    r"(?i)\b((?:set-)?cookie|authorization|x-csrf-token|x-sess-uuid|api[_-]?key|password|passwd|secret|token)"
    r"(['\"]?\s*[:=]\s*['\"]?)(bearer\s+|basic\s+)?([^\s'\",;&}]+)"
)
#: Ids that a text names, and the field that each becomes.
_IDS = {
    "client_order_id": re.compile(r"\b(q1-[a-z2-7]{26})\b"),
    "run_id": re.compile(r"\brun[ _]([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b"),
}
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
        value = _SESSION.sub(rf"\1{_STARS}", value)
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
    settings: BaseModel | None = None,
    *,
    level: int = logging.INFO,
    stream: IO[str] | None = None,
    form: str | None = None,
) -> None:
    """The one configuration of a process: its lines go to `stream`, standard error where none is given.

    What is secret in `settings` and in the environment stands in no line.
    """
    import structlog

    target = stream or sys.stderr
    chosen = form or os.environ.get(FORM_VARIABLE) or ("text" if target.isatty() else "json")
    of_settings = () if settings is None else secrets_of(settings)
    redact = Redactor([*of_settings, *_of_environment(os.environ)])
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
        _name_ids,
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


def secrets_of(settings: BaseModel) -> Iterator[str]:
    """Every value of the settings that must not stand in a line: secrets, passwords in addresses, the account's id."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, BaseModel):
                yield from secrets_of(one)
            elif isinstance(one, SecretStr):
                text = one.get_secret_value()
                found = _URL_PASSWORD_IN.search(text)
                yield found[1] if found else text
            elif name == "account" and isinstance(one, str):
                yield one


def _of_environment(environment: Mapping[str, str]) -> Iterator[str]:
    """Secrets that a process of ours is handed: passwords of URLs, tokens, the account."""
    for name, value in environment.items():
        if not name.startswith(("IBKR_ASSETS", "MLFLOW_", "DAGSTER_PG")):
            continue
        if name == "IBKR_ASSETS_ACCOUNT" or any(word in name for word in _SECRET_VARIABLES):
            yield value
        elif found := _URL_PASSWORD_IN.search(value):
            yield found[1]


def _name_process(process: str) -> Any:
    def step(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    return step


def _name_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    text = str(event.get("event", ""))
    for name, pattern in _IDS.items():
        if name not in event and (found := pattern.search(text)):
            event[name] = found[1]
    return event


def _line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """One record as a line that a terminal shows and does not obey; a traceback below it, line by line."""
    shown = dict(event)
    head = f"{shown.pop('timestamp', '')} {shown.pop('level', '').upper():<7} {shown.pop('logger', '')}"
    text, trace = str(shown.pop("event", "")), str(shown.pop("exception", ""))
    for told in ("process", *_IDS):  # the file's name says the one, the text the others
        shown.pop(told, None)
    more = "".join(f" {name}={value}" for name, value in sorted(shown.items()))
    lines = [visible(f"{head} {text}{more}"), *(visible(line) for line in trace.splitlines())]
    return "\n".join(lines)

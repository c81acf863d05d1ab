"""Ways to reach somebody: one message to one address of the library apprise, and the heartbeat to the outside.

What goes here: sending once, with a bound on the time, and a reason that may be written down where it failed. What
does not: trying again (`execution.alert_sender`). An address is a secret: no text of an error repeats a part of it.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import httpx

from ibkr_assets.domain.alert import Severity
from ibkr_assets.domain.errors import ConfigurationError, Unavailable
from ibkr_assets.domain.text import visible

if TYPE_CHECKING:
    from pathlib import Path

_MOST = 300
_SECRET_PARTS = re.compile(r"[^\w.-]+")


class AppriseChannel:
    """One address. `url` is parsed now, so that a wrong one is found before anything happens.

    Raises ConfigurationError, which names the channel and not the address.
    """

    def __init__(self, name: str, url: str, *, timeout_s: float) -> None:
        self.name = name
        self.scheme = url.partition(":")[0]
        self._secrets = _secrets(url)
        self._lock = threading.Lock()
        logging.getLogger("apprise").propagate = False  # it may name addresses
        # The library retries nothing by itself; these bound connecting and reading. Our words are plain text.
        half = f"{timeout_s / 2:.3f}"
        more = f"cto={half}&rto={half}" + ("" if "format=" in url else "&format=text")
        whole = f"{url}{'&' if '?' in url else '?'}{more}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a plugin asks whether an old module is there
            import apprise

            target = apprise.Apprise.instantiate(whole, suppress_exceptions=True)
        if target is None:
            raise ConfigurationError(f"alerts.channels: {name}: not an address that the library apprise understands")
        self._target = target

    def send(self, title: str, body: str, severity: Severity) -> None:
        """Hand it over once. Raises Unavailable when the other side did not take it."""
        import apprise

        kinds = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.PAGE: "failure"}
        heard = _Heard()
        logger = logging.getLogger("apprise")
        with self._lock:
            logger.addHandler(heard)
            try:
                is_taken = self._target.notify(body=body, title=title, notify_type=apprise.NotifyType(kinds[severity]))
            except (OSError, TypeError, ValueError) as error:
                raise Unavailable(f"{self.name}: {self._shown(str(error)) or type(error).__name__}") from None
            finally:
                logger.removeHandler(heard)
        if not is_taken:
            raise Unavailable(f"{self.name}: {self._shown(' '.join(heard.lines)) or 'not taken, no reason given'}")

    def _shown(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return visible(text, most=_MOST)


class _Heard(logging.Handler):
    """What the library says while it sends: the only place where it gives a reason."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(record.getMessage())


def read_address(path: Path) -> str:
    """The first line of a file that holds an address. Raises ConfigurationError."""
    try:
        line = path.read_text(encoding="utf-8").strip().splitlines()
    except OSError as error:
        raise ConfigurationError(f"alerts.channels: cannot read {path}: {error.strerror}") from None
    if not line:
        raise ConfigurationError(f"alerts.channels: {path} is empty")
    return line[0]


def ask_heartbeat(url: str, *, timeout_s: float) -> None:
    """Tell the outside that all is well. Raises Unavailable with the kind of failure, never the address."""
    try:
        answer = httpx.get(url, timeout=timeout_s, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"heartbeat: {type(error).__name__}") from None
    if answer.status_code >= 300:
        raise Unavailable(f"heartbeat: answered {answer.status_code}")


def _secrets(url: str) -> list[str]:
    """Every part of an address that could be one, longest first; host names are not."""
    parts = urlsplit(url)
    found = {parts.username, parts.password, parts.query, *_SECRET_PARTS.split(f"{parts.path} {parts.query}")}
    found |= {unquote(part) for part in found if part}
    if parts.scheme not in ("json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos"):
        found.add(parts.netloc)  # there the place of the host is a token
    return sorted((part for part in found if part and len(part) >= 4), key=len, reverse=True)

"""The single door to the gateway: one call goes out, one answer comes back, unjudged.

What goes here: pacing, time and size limits, and the rule that only a GET may be repeated. What an answer means
goes to `session` (reads) and `orders`. Nothing here logs; error texts carry no account, cookie or body.
"""

from __future__ import annotations

import json
import logging
import re
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

import httpcore
import httpx
import stamina

from ibkr_assets.adapters.ibkr.pacing import Limiter
from ibkr_assets.adapters.ibkr.sockets import Call, GuardedTransport, current_call, trust_of
from ibkr_assets.domain.errors import NotTrusted, ShutOut, Unavailable, UnreadableAnswer
from ibkr_assets.domain.text import visible

MAX_BODY_BYTES = 8 * 1024 * 1024
#: How long a read may wait for a limit; the longest ordinary one is 5 s, and several may queue.
MAX_READ_WAIT_S = 30.0
#: Tries of a GET, and the growing waits between them.
GET_TRIES = 3
FIRST_WAIT_S = 0.25

#: IBKR account ids: U, DU, F, DF and I forms followed by digits.
_ACCOUNT = re.compile(r"\b(?:D?[UFI][A-Z]?)\d{4,10}\b")


class NothingSent(Unavailable):
    """The call failed before the first byte of the request left this process."""


class GatewayNotTrusted(NothingSent, NotTrusted):
    """The gateway's certificate is not the one that was named; trying again does not help."""

    exit_code = NotTrusted.exit_code


class NoAnswer(Unavailable):
    """Bytes left, and no whole answer came back."""


class _Transient(Exception):
    """An answer after which a GET is worth another try."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"status {answer.status}")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole: status, content type in lower case, and the bytes of the body."""

    status: int
    content_type: str
    body: bytes

    @property
    def is_json(self) -> bool:
        """True when the answer says that it is JSON."""
        return "json" in self.content_type

    @property
    def is_html(self) -> bool:
        """True for a page, which is what a gateway without a login shows instead of an answer."""
        return "html" in self.content_type or self.body.lstrip()[:1] == b"<"

    def parsed(self, *, is_exact: bool = True) -> Any:
        """The body as JSON in UTF-8: fractions as Decimal, or as float where not `is_exact`.

        Raises UnreadableAnswer for anything else, and for NaN, Infinity and a key that occurs twice.
        """
        try:
            return json.loads(
                self.body.decode("utf-8"),
                parse_float=Decimal if is_exact else float,
                parse_constant=_refuse_constant,
                object_pairs_hook=_unique,
            )
        except (ValueError, ArithmeticError, RecursionError) as error:
            raise UnreadableAnswer(f"not JSON: {redact(str(error)[:120])}", status=self.status) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return made


def redact(text: str) -> str:
    """A text fit to be shown or stored: without account ids, and without characters that act instead of printing."""
    return _ACCOUNT.sub("<account>", visible(text))


def clock_skew_s(date: str | None, *, sent_at: float, received_at: float) -> float | None:
    """How far the clock behind an answer's `Date` is ahead of ours, in seconds; negative where it is behind.

    `date` is of a whole second within the call, which began at `sent_at` and was answered at `received_at` (seconds
    since 1970, our clock): what that can explain is no skew. None for a date that is missing or no date.
    """
    try:
        said = parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError):
        return None
    if said > received_at:
        return said - received_at
    return min(0.0, said + 1.0 - sent_at)


def segment(value: str) -> str:
    """A value as one segment of a path."""
    return quote(value, safe="")


class Transport:
    """One gateway, one HTTP client. `base_url` ends in `/v1/api`; safe for threads.

    Raises ConfigurationError at once for a URL, certificate file or pin that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        ca: str | None,
        limiter: Limiter,
        connect_timeout_s: float,
        read_timeout_s: float,
    ) -> None:
        self.limiter = limiter
        #: How far the gateway's clock was ahead of ours at its newest answer; None where that did not tell.
        self.clock_skew_s: float | None = None
        self._base = base_url.rstrip("/") + "/"
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._client = httpx.Client(
            transport=GuardedTransport(trust_of(httpx.URL(base_url), ca)),
            headers={
                "User-Agent": f"ibkr-assets/{version('ibkr-assets')}",
                "Accept": "*/*",
                "Accept-Encoding": "identity",
            },
            trust_env=False,
            follow_redirects=False,
        )
        weakref.finalize(self, self._client.close)  # whoever drops a client need not know that it holds sockets
        # Where structlog is installed, stamina would print retries to stdout, where commands print their JSON.
        stamina.instrumentation.set_on_retry_hooks([stamina.instrumentation.LoggingOnRetryHook])
        for name in ("httpx", "httpcore"):  # both log URLs and headers, which hold the account id and cookies
            logging.getLogger(name).setLevel(logging.WARNING)

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Any = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """Send once and read the whole answer within `timeout_s` (default: the read timeout).

        Raises NothingSent or PacedOut when no byte left, NoAnswer when bytes left and no whole answer came, and
        UnreadableAnswer for one that is too large or compressed. A 429 closes the door for a while.
        """
        total_s = timeout_s or self._read_timeout_s
        name = redact(f"{method} {path}")
        wait_s = MAX_READ_WAIT_S if method == "GET" else total_s
        with self.limiter.permit(method, path, max_wait_s=wait_s) as permit:
            call = Call(time.monotonic() + total_s, permit.sent)
            before = current_call.set(call)
            try:
                answer = self._exchange(method, path, params, body, total_s)
            except (
                httpcore.TimeoutException,
                httpcore.NetworkError,
                httpcore.ProtocolError,
                httpx.HTTPError,
            ) as error:
                reason = redact(str(error)) or type(error).__name__
                if call.has_sent:
                    raise NoAnswer(f"{name}: no whole answer: {reason}") from None
                # TLS libraries tell this case apart by their words only.
                kind = GatewayNotTrusted if "certificate" in reason.lower() else NothingSent
                raise kind(f"{name}: not sent: {reason}") from None
            finally:
                current_call.reset(before)
        if answer.status == httpx.codes.TOO_MANY_REQUESTS:
            self.limiter.penalise()
        elif answer.status < httpx.codes.BAD_REQUEST:
            self.limiter.forgive(is_probe=permit.is_probe)
        return answer

    def get(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        is_transient: Callable[[Answer], bool],
        tries: int = GET_TRIES,
    ) -> Answer:
        """GET, again where no answer or a transient one came, with growing waits. Gives the last answer.

        Raises as `request`, and ShutOut after a 429.
        """
        try:
            for attempt in stamina.retry_context(
                on=(NothingSent, NoAnswer, _Transient),
                attempts=tries,
                timeout=None,
                wait_initial=FIRST_WAIT_S,
                wait_jitter=FIRST_WAIT_S,
            ):
                with attempt:
                    answer = self.request("GET", path, params=params)
                    if is_transient(answer):
                        raise _Transient(answer)  # noqa: TRY301  (it is the signal to try again)
        except _Transient as last:
            answer = last.answer
        if answer.status == httpx.codes.TOO_MANY_REQUESTS:
            raise ShutOut(f"GET {redact(path)}: the gateway answered 429, too many requests; nothing is sent now")
        return answer

    def _exchange(
        self, method: str, path: str, params: Mapping[str, str | int] | None, body: Any, total_s: float
    ) -> Answer:
        # IBKR answers 411 to a POST without a length, hence the empty object.
        content = json.dumps({} if body is None else body).encode() if method == "POST" else None
        request = self._client.build_request(
            method,
            self._base + path,
            params=params,
            content=content,
            headers={"Content-Type": "application/json"} if content is not None else None,
            timeout=httpx.Timeout(total_s, connect=self._connect_timeout_s, pool=total_s),
        )
        sent_at = time.time()
        response = self._client.send(request, stream=True)
        self.clock_skew_s = clock_skew_s(response.headers.get("Date"), sent_at=sent_at, received_at=time.time())
        try:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise UnreadableAnswer("a compressed answer, which was not asked for", status=response.status_code)
            chunks: list[bytes] = []
            size = 0
            for chunk in response.iter_raw():
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    raise UnreadableAnswer(f"longer than {MAX_BODY_BYTES} bytes", status=response.status_code)
                chunks.append(chunk)
        finally:
            response.close()
        content_type = response.headers.get("Content-Type", "").lower()
        return Answer(response.status_code, content_type, b"".join(chunks))

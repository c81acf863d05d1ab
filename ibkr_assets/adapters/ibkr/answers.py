"""What an answer to a read or a session call says: the broker's words, a login page, trouble that may pass.

What goes here: one answer judged by itself. What is done about it goes to `session` and `login`; answers to orders
are judged in `orders`.
"""

from __future__ import annotations

import re
from typing import Any

import httpx

from ibkr_assets.adapters.ibkr.transport import Answer, redact
from ibkr_assets.domain.errors import BrokerRefusal, LoginRequired, ShutOut, Unavailable, UnreadableAnswer

LOG_IN = "log in to the gateway in a browser, at the address of gateway.url without /v1/api, then try again"

_NO_BRIDGE = re.compile(r"no bridge|init session first|not authenticated", re.IGNORECASE)
_ACCOUNTS_FIRST = re.compile(r"query /(iserver/)?accounts first", re.IGNORECASE)
_PORTFOLIO_FIRST = re.compile(r"query /portfolio/accounts first", re.IGNORECASE)
_SERVER_TROUBLE = frozenset({500, 502, 503, 504})


def error_text(answer: Answer) -> str:
    """The broker's words in a refusal, from whatever it wrapped them in; without account ids, at most 300 letters."""
    try:
        value = answer.parsed()
    except UnreadableAnswer:
        value = None
    if isinstance(value, dict):
        words = value.get("error") or value.get("message") or value.get("msg")
        if isinstance(words, str):
            return redact(words[:300])
    return redact(answer.body[:200].decode("utf-8", "replace"))


def is_about_session(text: str) -> bool:
    """True for the words that say that the brokerage session, or the first accounts call of either, is missing."""
    return any(words.search(text) for words in (_NO_BRIDGE, _ACCOUNTS_FIRST, _PORTFOLIO_FIRST))


def wants_accounts(answer: Answer) -> bool:
    """True where the gateway asks for the first call of a brokerage session."""
    return not is_login_page(answer) and bool(_ACCOUNTS_FIRST.search(error_text(answer)))


def wants_portfolio_accounts(answer: Answer) -> bool:
    """True where the gateway asks for the first call on the portfolio: a restarted one has forgotten it."""
    return not is_login_page(answer) and bool(_PORTFOLIO_FIRST.search(error_text(answer)))


def is_session_gone(answer: Answer) -> bool:
    """True where a session, or its first call, is missing: also said inside a 200."""
    if is_login_page(answer):
        return True
    is_refusal = answer.status != httpx.codes.OK or b'"error"' in answer.body[:200]
    return is_refusal and is_about_session(error_text(answer))


def is_login_page(answer: Answer) -> bool:
    """True where the gateway shows that nobody is logged in: 401, a page, or the way to one."""
    if answer.status in _SERVER_TROUBLE:  # a proxy's error page says nothing about the login
        return False
    return answer.status == httpx.codes.UNAUTHORIZED or 300 <= answer.status < 400 or answer.is_html


def is_transient(answer: Answer) -> bool:
    """True for an answer to a read that another try may better: server trouble, or an empty body."""
    if answer.status in _SERVER_TROUBLE:
        return not is_about_session(error_text(answer))
    return answer.status == httpx.codes.OK and not answer.body.strip()


def session_value(answer: Answer, what: str) -> Any:
    """The value of a session call. What went wrong here may be well in a moment, hence Unavailable, or ShutOut."""
    if answer.status == httpx.codes.TOO_MANY_REQUESTS:
        raise ShutOut(f"{what}: the gateway answered 429, too many requests; nothing is sent now")
    if answer.status != httpx.codes.OK:
        raise Unavailable(f"{what}: the gateway answered {answer.status} {error_text(answer)}".rstrip())
    value = answer.parsed()
    if isinstance(value, dict) and value.get("error"):
        raise Unavailable(f"{what}: the gateway said {error_text(answer)}")
    return value


def accept(answer: Answer, path: str, *, is_exact: bool = True) -> Any:
    """The value of a fetched answer; raises as `Session.read`."""
    text = error_text(answer) if answer.status != httpx.codes.OK else ""
    if is_login_page(answer):
        raise LoginRequired(f"GET {redact(path)}: the gateway answered as if nobody were logged in; {LOG_IN}")
    if answer.status != httpx.codes.OK:
        if is_about_session(text):
            raise Unavailable(f"GET {redact(path)}: the brokerage session is away: {text}")
        if answer.status in _SERVER_TROUBLE and not (answer.status == 500 and answer.is_json and text):
            raise Unavailable(f"GET {redact(path)}: the gateway answered {answer.status} {text}".rstrip())
        raise BrokerRefusal(text, status=answer.status)
    value = answer.parsed(is_exact=is_exact)
    if isinstance(value, dict) and value.get("error"):
        if is_about_session(error_text(answer)):
            raise Unavailable(f"GET {redact(path)}: the brokerage session is away: {error_text(answer)}")
        raise BrokerRefusal(error_text(answer), status=answer.status)
    return value

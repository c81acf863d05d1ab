"""The gateway's two sessions, and reads that mend the second one on the way.

What goes here: login state, IBKR's keep-alive, accounts-first, and what to do when a read says that a session is
gone. What a read is for goes to its own module; orders are never repeated and so never come through `read`.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from ibkr_assets.adapters.ibkr import parse, payloads
from ibkr_assets.adapters.ibkr.pacing import PacedOut
from ibkr_assets.adapters.ibkr.transport import Answer, Transport, redact
from ibkr_assets.domain.broker import SessionStatus
from ibkr_assets.domain.errors import (
    BrokerRefusal,
    ConfigurationError,
    LoginRequired,
    Unavailable,
    UnreadableAnswer,
)

INIT_PATH = "iserver/auth/ssodh/init"
LOG_IN = "log in to the gateway in a browser, at the address of gateway.url without /v1/api, then try again"

#: Waits between looks at a brokerage session that was just opened; it comes up in a moment or not at all.
SETTLING_S = (0.0, 0.2, 0.4, 0.8, 1.6)

_NO_BRIDGE = re.compile(r"no bridge|init session first|not authenticated", re.IGNORECASE)
_ACCOUNTS_FIRST = re.compile(r"query /(iserver/)?accounts first", re.IGNORECASE)
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
    """True for the words that say that the brokerage session, or the first accounts call, is missing."""
    return bool(_NO_BRIDGE.search(text) or _ACCOUNTS_FIRST.search(text))


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


class Session:
    """Both sessions of one gateway. `account` is the pinned one, or None for market data alone. Safe for threads."""

    def __init__(
        self, transport: Transport, account: str | None, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.transport = transport
        self.account = account
        self._sleep = sleep
        self._lock = threading.RLock()
        self._generation = 0
        self._has_read_accounts = False
        self._base_currencies: dict[str, str | None] | None = None

    def status(self) -> SessionStatus:
        """Both sessions as they stand. Raises Unavailable when the gateway does not answer or is in maintenance."""
        answer = self.transport.request("POST", "iserver/auth/status")
        if is_login_page(answer):
            return parse.NOT_LOGGED_IN
        if answer.status == httpx.codes.BAD_REQUEST and is_about_session(error_text(answer)):
            return parse.session_status(payloads.AuthStatus(message=error_text(answer)))
        return parse.session_status(payloads.read(payloads.AuthStatus, self._post_value(answer, "status"), "status"))

    def open(self) -> SessionStatus:
        """Bring the brokerage session up, then read the accounts. Never takes it from another platform.

        Raises LoginRequired when only a person can help, Unavailable, and ConfigurationError as `prime`.
        """
        with self._lock:
            status = self.status()
            if not status.is_ready:
                status = self._login(status)
            self._forget()
            self.prime()
            return status

    def tickle(self) -> SessionStatus:
        """Keep both sessions alive. A gateway that is not logged in is a status, not an error."""
        tickle = self._tickle()
        if tickle is None:
            return parse.NOT_LOGGED_IN
        if tickle.iserver.authStatus is None:
            return self.status()
        # A session that is over shows as 0 here before anything else tells.
        return parse.session_status(tickle.iserver.authStatus, is_logged_in=tickle.ssoExpires != 0)

    def identity(self) -> str:
        """A name of the gateway's session, fresh from a tickle; a hash, for the session itself is a credential.

        Raises LoginRequired when there is no session. May wait a second: IBKR allows one tickle in each.
        """
        tickle = self._tickle()
        if tickle is None:
            raise LoginRequired(f"the gateway is not logged in; {LOG_IN}")
        return hashlib.sha256(tickle.session.encode()).hexdigest()[:16]

    def prime(self) -> None:
        """Make IBKR's first call of a brokerage session, once, and select the pinned account.

        Raises ConfigurationError when the pinned account is not among the gateway's.
        """
        with self._lock:
            if self._has_read_accounts:
                return
            accounts = payloads.read(
                payloads.Accounts,
                self.accept(self._get("iserver/accounts", None), "iserver/accounts"),
                "accounts",
            )
            if self.account is not None:
                if self.account not in accounts.accounts:
                    raise ConfigurationError(
                        f"account: the pinned account is not among the {len(accounts.accounts)} of the gateway; "
                        "check IBKR_ASSETS_ACCOUNT and who is logged in"
                    )
                if len(accounts.accounts) > 1 and accounts.selectedAccount != self.account:
                    answer = self.transport.request("POST", "iserver/account", body={"acctId": self.account})
                    self._post_value(answer, "selecting the account")
            self._has_read_accounts = True

    def base_currency(self) -> str | None:
        """The pinned account's base currency, from the call that must come before all others on the portfolio."""
        with self._lock:
            if self._base_currencies is None:
                rows = self.read("portfolio/accounts")
                read = payloads.read(list[payloads.PortfolioAccount], rows, "portfolio accounts")
                self._base_currencies = {row.id: row.currency for row in read}
            return self._base_currencies.get(self.account or "")

    def read(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        is_exact: bool = True,
        is_again: Callable[[Answer], bool] = is_transient,
    ) -> Any:
        """GET and parse. Where a session is gone it is brought back and the GET repeated, once.

        Raises LoginRequired, Unavailable, BrokerRefusal (also for an error inside a 200) or UnreadableAnswer.
        """
        return self.accept(self.fetch(path, params, is_again=is_again), path, is_exact=is_exact)

    def fetch(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        is_again: Callable[[Answer], bool] = is_transient,
    ) -> Answer:
        """As `read`, but gives the answer unjudged once the sessions are in order."""
        generation = self._generation
        answer = self._get(path, params, is_again)
        if self._is_session_gone(answer):
            self._mend(answer, generation)
            answer = self._get(path, params, lambda a: is_again(a) or is_about_session(error_text(a)))
        return answer

    def _get(
        self,
        path: str,
        params: Mapping[str, str | int] | None,
        is_again: Callable[[Answer], bool] = is_transient,
    ) -> Answer:
        return self.transport.get(path, params, is_transient=is_again)

    def _is_session_gone(self, answer: Answer) -> bool:
        if is_login_page(answer):
            return True
        is_refusal = answer.status != httpx.codes.OK or b'"error"' in answer.body[:200]
        return is_refusal and is_about_session(error_text(answer))

    def _mend(self, answer: Answer, generation: int) -> None:
        with self._lock:
            if self._generation != generation:
                return  # another thread has just done it
            if not is_login_page(answer) and _ACCOUNTS_FIRST.search(error_text(answer)):
                self._forget()
                self.prime()
            else:
                self.open()

    def _forget(self) -> None:
        self._generation += 1
        self._has_read_accounts = False
        self._base_currencies = None

    def _login(self, status: SessionStatus) -> SessionStatus:
        if not status.is_logged_in:
            raise LoginRequired(f"the gateway is not logged in; {LOG_IN}")
        self._refuse_competition(status)
        try:
            answer = self.transport.request("POST", INIT_PATH, body={"publish": True, "compete": False})
        except PacedOut as error:
            raise Unavailable(
                f"the brokerage session could not be opened: {error}; too many logins failed within the hour"
            ) from None
        if is_login_page(answer):
            raise LoginRequired(f"the gateway is not logged in; {LOG_IN}")
        said = parse.session_status(
            payloads.read(payloads.AuthStatus, self._post_value(answer, "opening the brokerage session"), "init")
        )
        self._refuse_competition(said)
        for wait_s in SETTLING_S if said.is_authenticated else ():
            self._sleep(wait_s)
            status = self.status()
            self._refuse_competition(status)
            if status.is_ready:
                self.transport.limiter.refund_login()
                return status
        raise Unavailable(
            f"the brokerage session did not come up (connected {said.is_connected}, authenticated "
            f"{said.is_authenticated}) {said.message}; if that lasts, restart the gateway and log in again"
        )

    def _refuse_competition(self, status: SessionStatus) -> None:
        if status.is_competing:
            raise LoginRequired(
                "another platform (TWS, IBKR Mobile or a second gateway) holds the brokerage session of this user; "
                "log it out there: it is never taken from it by force"
            )

    def _tickle(self) -> payloads.Tickle | None:
        answer = self.transport.request("POST", "tickle")
        if is_login_page(answer):
            return None
        return payloads.read(payloads.Tickle, self._post_value(answer, "tickle"), "tickle")

    def _post_value(self, answer: Answer, what: str) -> Any:
        """The value of a session call. What went wrong here may be well in a moment, hence Unavailable."""
        if answer.status != httpx.codes.OK:
            raise Unavailable(f"{what}: the gateway answered {answer.status} {error_text(answer)}".rstrip())
        value = answer.parsed()
        if isinstance(value, dict) and value.get("error"):
            raise Unavailable(f"{what}: the gateway said {error_text(answer)}")
        return value

    def accept(self, answer: Answer, path: str, *, is_exact: bool = True) -> Any:
        """The value of a fetched answer; raises as `read`."""
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

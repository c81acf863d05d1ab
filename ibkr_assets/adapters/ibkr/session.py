"""The gateway's two sessions, and reads that mend the second one on the way.

What goes here: IBKR's keep-alive, accounts-first, and what to do when a read says that a session is gone. Opening the
brokerage session goes to `login`, what an answer says to `answers`, what a read is for to its own module. Orders are
never repeated and so never come through `read`.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx

from ibkr_assets.adapters.ibkr import parse, payloads
from ibkr_assets.adapters.ibkr.answers import (
    LOG_IN,
    accept,
    error_text,
    is_about_session,
    is_login_page,
    is_session_gone,
    is_transient,
    session_value,
    wants_accounts,
    wants_portfolio_accounts,
)
from ibkr_assets.adapters.ibkr.login import bring_up
from ibkr_assets.adapters.ibkr.transport import Answer, Transport
from ibkr_assets.domain.broker import SessionStatus
from ibkr_assets.domain.errors import ConfigurationError, LoginRequired, Unavailable
from ibkr_assets.domain.permission import GatewayIdentity

_PORTFOLIO_ACCOUNTS = "portfolio/accounts"


class Session:
    """Both sessions of one gateway. `account` is the pinned one, or None for market data alone. Safe for threads.

    With `may_compete` a brokerage session that another platform holds is taken from it, at most once an hour.
    """

    def __init__(
        self,
        transport: Transport,
        account: str | None,
        *,
        may_compete: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.transport = transport
        self.account = account
        self._may_compete = may_compete
        self._sleep = sleep
        self._lock = threading.RLock()
        self._generation = 0
        self._has_read_accounts = False
        self._base_currencies: dict[str, str | None] | None = None
        self._identity: GatewayIdentity | None = None

    def status(self) -> SessionStatus:
        """Both sessions as they stand. Raises Unavailable when the gateway does not answer or is in maintenance."""
        answer = self.transport.request("POST", "iserver/auth/status")
        if is_login_page(answer):
            return parse.NOT_LOGGED_IN
        if answer.status == httpx.codes.BAD_REQUEST and is_about_session(error_text(answer)):
            return parse.session_status(payloads.AuthStatus(message=error_text(answer)))
        return parse.session_status(payloads.read(payloads.AuthStatus, session_value(answer, "status"), "status"))

    def open(self) -> SessionStatus:
        """Bring the brokerage session up, then read the accounts.

        Raises LoginRequired when only a person can help, Unavailable, and ConfigurationError as `prime`.
        """
        with self._lock:
            status = self.status()
            if not status.is_ready:
                status = bring_up(self.transport, self.status, status, may_compete=self._may_compete, sleep=self._sleep)
            self._forget()
            self.prime()
            return status

    def tickle(self) -> SessionStatus:
        """Keep both sessions alive. A gateway that is not logged in is a status, not an error."""
        tickle = self._tickle()
        if tickle is None:
            return parse.NOT_LOGGED_IN
        if tickle.iserver.authStatus is None:
            status = self.status()
        else:  # a session that is over shows as 0 here before anything else tells
            status = parse.session_status(tickle.iserver.authStatus, is_logged_in=tickle.ssoExpires != 0)
        if status.is_ready:
            self.transport.limiter.note_alive()
        return replace(status, session_id=_name(tickle.session))

    def identity(self) -> str:
        """A name of the gateway's session, fresh from a tickle.

        Raises LoginRequired when there is no session. May wait a second: IBKR allows one tickle in each.
        """
        return _name(self.stream_session())

    def stream_session(self) -> str:
        """What the websocket's cookie needs, fresh from a tickle: a credential, never to be logged or stored.

        Raises LoginRequired when there is no session.
        """
        tickle = self._tickle()
        if tickle is None:
            raise LoginRequired(f"the gateway is not logged in; {LOG_IN}")
        return tickle.session

    def prime(self) -> None:
        """Make IBKR's first call of a brokerage session, once, and select the pinned account.

        Raises ConfigurationError when the pinned account is not among the gateway's.
        """
        with self._lock:
            if self._has_read_accounts:
                return
            accounts = payloads.read(
                payloads.Accounts,
                accept(self._get("iserver/accounts", None), "iserver/accounts"),
                "accounts",
            )
            self._identity = parse.gateway_identity(accounts)
            if self.account is not None:
                if self.account not in accounts.accounts:
                    raise ConfigurationError(
                        f"account: the pinned account is not among the {len(accounts.accounts)} of the gateway; "
                        "check IBKR_ASSETS_ACCOUNT and who is logged in"
                    )
                if len(accounts.accounts) > 1 and accounts.selectedAccount != self.account:
                    answer = self.transport.request("POST", "iserver/account", body={"acctId": self.account})
                    session_value(answer, "selecting the account")
            self._has_read_accounts = True

    def gateway_identity(self) -> GatewayIdentity:
        """What the gateway said of itself when its accounts were read. Raises Unavailable before that."""
        if self._identity is None:
            raise Unavailable("the gateway's accounts were not read yet")
        return self._identity

    def base_currency(self) -> str | None:
        """The pinned account's base currency, from the call that must come before all others on the portfolio."""
        with self._lock:
            if self._base_currencies is None:
                self._base_currencies = _currencies(self.read(_PORTFOLIO_ACCOUNTS))
            return self._base_currencies.get(self.account or "")

    @property
    def openings(self) -> int:
        """How often the brokerage session was opened, or its accounts had to be read, anew."""
        return self._generation

    def read(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        is_exact: bool = True,
        is_again: Callable[[Answer], bool] = is_transient,
    ) -> Any:
        """GET and parse. Where a session, or its first call, is missing it is brought back and the GET repeated, once.

        Raises LoginRequired, Unavailable, BrokerRefusal (also for an error inside a 200) or UnreadableAnswer.
        """
        return accept(self.fetch(path, params, is_again=is_again), path, is_exact=is_exact)

    def fetch(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        is_again: Callable[[Answer], bool] = is_transient,
    ) -> Answer:
        """As `read`, but gives the answer unjudged once the sessions are in order."""
        generation, currencies = self._generation, self._base_currencies
        answer = self._get(path, params, is_again)
        if is_session_gone(answer):
            if wants_portfolio_accounts(answer):
                self._read_portfolio_again(currencies)
            else:
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

    def _mend(self, answer: Answer, generation: int) -> None:
        with self._lock:
            if self._generation != generation:
                return  # another thread has just done it
            if wants_accounts(answer):
                self._forget()
                self.prime()
            else:
                self.open()

    def _read_portfolio_again(self, seen: dict[str, str | None] | None) -> None:
        with self._lock:
            if self._base_currencies is seen:  # else another thread has just done it
                answer = accept(self._get(_PORTFOLIO_ACCOUNTS, None), _PORTFOLIO_ACCOUNTS)
                self._base_currencies = _currencies(answer)

    def _forget(self) -> None:
        self._generation += 1
        self._has_read_accounts = False
        self._base_currencies = None

    def _tickle(self) -> payloads.Tickle | None:
        answer = self.transport.request("POST", "tickle")
        if is_login_page(answer):
            return None
        return payloads.read(payloads.Tickle, session_value(answer, "tickle"), "tickle")


def _currencies(rows: Any) -> dict[str, str | None]:
    read = payloads.read(list[payloads.PortfolioAccount], rows, "portfolio accounts")
    return {row.id: row.currency for row in read}


def _name(session: str) -> str:
    """A session by a name that may be shown: the session itself is a credential."""
    return hashlib.sha256(session.encode()).hexdigest()[:16]

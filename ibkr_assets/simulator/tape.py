"""The past that the gateway replays: sessions, daily bars and corporate actions, and what is known of them when.

Bars come from `tape_files` or `real_tape`; what the venue does at an open or a close is in `matching` and `venue`.
A daily tape knows an open at the open and everything else of the day at the close, and nothing here says more.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.simulator.listings import Contract

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class TapeBar:
    """One session's prices in USD, unadjusted, and its volume in shares."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int


class ActionKind(StrEnum):
    """What a company did to its shares."""

    SPLIT = "split"
    DIVIDEND = "dividend"


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """Takes effect at the open of `ex_day`. `amount` is new shares per old one, or USD a share."""

    conid: int
    ex_day: date
    kind: ActionKind
    amount: Decimal


class Moment(StrEnum):
    """The two instants of a session at which a daily tape reveals something."""

    OPEN = "open"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class LastPrice:
    """The newest price known: the session it is of, and whether that session is over."""

    price: Decimal
    session: TradingSession
    is_close: bool


class Tape:
    """Sessions in order, and bars by contract and day. Immutable."""

    def __init__(
        self,
        sessions: Sequence[TradingSession],
        contracts: Sequence[Contract],
        bars: Mapping[int, Mapping[date, TapeBar]],
        actions: Sequence[CorporateAction] = (),
    ) -> None:
        if len(sessions) < 2:
            raise InputError(f"tape: needs at least two sessions, got {len(sessions)}")
        self.sessions = tuple(sessions)
        self.contracts = {contract.conid: contract for contract in contracts}
        self.by_symbol = {contract.symbol: contract for contract in contracts}
        self._bars = bars
        self._actions: dict[date, list[CorporateAction]] = {}
        for action in actions:
            self._actions.setdefault(action.ex_day, []).append(action)
        self._opens = [session.opens_at for session in self.sessions]

    def bar(self, conid: int, day: date) -> TapeBar | None:
        """The whole bar of a day, or None. The caller must know that the day is over."""
        return self._bars[conid].get(day)

    def actions_on(self, day: date) -> Sequence[CorporateAction]:
        """Corporate actions that take effect at this day's open."""
        return self._actions.get(day, ())

    def opened_index(self, moment: datetime) -> int:
        """Index of the last session that opened at or before `moment`; -1 before the first."""
        return bisect_right(self._opens, moment) - 1

    def open_session(self, moment: datetime) -> TradingSession | None:
        """The session that is open at `moment`, or None."""
        index = self.opened_index(moment)
        session = self.sessions[index] if index >= 0 else None
        return session if session is not None and moment < session.closes_at else None

    def next_session(self, moment: datetime) -> TradingSession | None:
        """The first session that opens after `moment`, or None at the end of the tape."""
        index = bisect_right(self._opens, moment)
        return self.sessions[index] if index < len(self.sessions) else None

    def first_session_from(self, day: date) -> TradingSession | None:
        """The first session on or after `day`, or None at the end of the tape."""
        index = bisect_left(self.sessions, day, key=lambda session: session.day)
        return self.sessions[index] if index < len(self.sessions) else None

    def sessions_between(self, first: date, last: date) -> Sequence[TradingSession]:
        """Sessions from `first` to `last`, both included."""
        start = bisect_left(self.sessions, first, key=lambda session: session.day)
        return self.sessions[start : bisect_right(self.sessions, last, key=lambda session: session.day)]

    def last_price(self, conid: int, moment: datetime) -> LastPrice | None:
        """The newest price at `moment`: the open while a session is on, its close afterwards; None before any."""
        for index in range(self.opened_index(moment), -1, -1):
            session = self.sessions[index]
            bar = self._bars[conid].get(session.day)
            if bar is not None:
                is_close = moment >= session.closes_at
                return LastPrice(bar.close if is_close else bar.open, session, is_close)
        return None

    def previous_close(self, conid: int, moment: datetime) -> Decimal | None:
        """The close before the session of the newest price; None where that was the first."""
        last = self.last_price(conid, moment)
        before = self.last_price(conid, last.session.opens_at - _INSTANT) if last else None
        return before.price if before else None

    def moments_between(self, after: datetime, until: datetime) -> Iterator[tuple[datetime, Moment, TradingSession]]:
        """Opens and closes in (after, until], in order."""
        for index in range(max(self.opened_index(after), 0), len(self.sessions)):
            session = self.sessions[index]
            if session.opens_at > until:
                return
            if after < session.opens_at:
                yield session.opens_at, Moment.OPEN, session
            if after < session.closes_at <= until:
                yield session.closes_at, Moment.CLOSE, session

"""The past that the gateway replays: sessions, bars and corporate actions, and what is known of them when.

Bars come from `tape_files` and `minute_files`; what the venue does at an open, a minute or a close is in `matching`
and `trading_day`. Of a day or a minute the open is known at its open and everything else when it is over: what
`last_price` and `known_bar` say never depends on more. A contract may have minutes on some days and none on others.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.simulator.bars import PRICE_UNITS, MinuteBars, TapeBar, extended
from ibkr_assets.simulator.hours import MINUTE, extended_close, extended_open, minute_of, time_of
from ibkr_assets.simulator.listings import Contract


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
    """The instants of a session at which a tape reveals something.

    MINUTE is the end of one minute and the open of the next, END the end of trading outside regular hours.
    """

    OPEN = "open"
    MINUTE = "minute"
    CLOSE = "close"
    END = "end"


Event = tuple[datetime, Moment, TradingSession]
#: The first minute from one instant to another (both included) that somebody waits for, or None.
NextMinute = Callable[[datetime, datetime, TradingSession], datetime | None]


def _every_minute(first: datetime, _last: datetime, _session: TradingSession) -> datetime:
    return first


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
        minutes: Mapping[int, MinuteBars] | None = None,
    ) -> None:
        if len(sessions) < 2:
            raise InputError(f"tape: needs at least two sessions, got {len(sessions)}")
        self.sessions = tuple(sessions)
        self.contracts = {contract.conid: contract for contract in contracts}
        self.by_symbol = {contract.symbol: contract for contract in contracts}
        self._bars = bars
        self._days = {conid: sorted(by_day) for conid, by_day in bars.items()}
        self._minutes = dict(minutes or {})
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

    def has_minutes(self, conid: int) -> bool:
        """Whether there are minute bars of a contract at all."""
        return conid in self._minutes

    def minute_bar(self, conid: int, minute: int) -> TapeBar | None:
        """The whole bar of a minute since the epoch, or None. The caller must know that the minute is over."""
        bars = self._minutes.get(conid)
        return None if bars is None else bars.at(minute)

    def minute_open(self, conid: int, minute: int) -> Decimal | None:
        """The first price of a minute, or None. The caller must know that the minute began."""
        bars = self._minutes.get(conid)
        return None if bars is None else bars.open_at(minute)

    def first_touch(self, conid: int, first: int, stop: int, price: Decimal, *, is_fall: bool) -> int | None:
        """The first minute in [first, stop) that was at `price` or below it (`is_fall`), or at it or above; or None."""
        return self._minutes[conid].first_touch(first, stop, int(price * PRICE_UNITS), is_fall=is_fall)

    def minutes_between(self, conid: int, first: datetime, until: datetime) -> tuple[MinuteBars, int, int]:
        """Minute bars that start in [first, until), as positions. Raises KeyError for a contract without minutes."""
        bars = self._minutes[conid]
        return (bars, *bars.span(minute_of(first), minute_of(until - MINUTE) + 1))

    def is_by_minute(self, conid: int, session: TradingSession) -> bool:
        """Whether a contract has minute bars in this session's regular hours."""
        if conid not in self._minutes:
            return False
        _, i, j = self.minutes_between(conid, session.opens_at, session.closes_at)
        return i < j

    def known_bar(self, conid: int, session: TradingSession, moment: datetime) -> TapeBar | None:
        """What is known at `moment` of a session's bar: minutes that are over, the open of the one that is not."""
        if moment >= session.closes_at:
            return self.bar(conid, session.day)
        if moment < session.opens_at:
            return None
        if not self.is_by_minute(conid, session):
            whole = self.bar(conid, session.day)
            return None if whole is None else TapeBar(whole.open, whole.open, whole.open, whole.open, 0)
        minute = minute_of(moment)
        bars, i, j = self.minutes_between(conid, session.opens_at, time_of(minute))
        return extended(bars.merged(i, j), bars.open_at(minute))

    def last_price(self, conid: int, moment: datetime) -> LastPrice | None:
        """The newest price of regular hours at `moment`; None before any.

        It is a minute's open while that minute is on and its close afterwards; without minutes the session's open
        while that is on. After the session it is the session's close.
        """
        index = self.opened_index(moment)
        while index >= 0:
            session = self.sessions[index]
            if moment >= session.closes_at:
                bar = self._bars[conid].get(session.day)
                if bar is not None:
                    return LastPrice(bar.close, session, is_close=True)
                # Days without a bar may be many, so the newest day that has one is looked up.
                days = self._days[conid]
                found = bisect_left(days, session.day) - 1
                if found < 0:
                    return None
                index = bisect_left(self.sessions, days[found], key=lambda s: s.day)
                continue
            price = self._price_in(conid, session, moment)
            if price is not None:
                return LastPrice(price, session, is_close=False)
            index -= 1
        return None

    def _price_in(self, conid: int, session: TradingSession, moment: datetime) -> Decimal | None:
        if not self.is_by_minute(conid, session):
            bar = self._bars[conid].get(session.day)
            return None if bar is None else bar.open
        minute = minute_of(moment)
        bars, i, j = self.minutes_between(conid, session.opens_at, time_of(minute))
        opened = bars.open_at(minute)
        if opened is not None:
            return opened
        return bars[j - 1].close if i < j else None

    def previous_close(self, conid: int, moment: datetime) -> Decimal | None:
        """The close before the session of the newest price; None where that was the first."""
        last = self.last_price(conid, moment)
        index = bisect_left(self._days[conid], last.session.day) - 1 if last else -1
        return self._bars[conid][self._days[conid][index]].close if index >= 0 else None

    def is_extended(self, moment: datetime) -> bool:
        """Whether `moment` is outside regular hours of a day that has minute bars there."""
        for index in (self.opened_index(moment), self.opened_index(moment) + 1):
            if 0 <= index < len(self.sessions):
                session = self.sessions[index]
                before, after = self._outside(session)
                if before and extended_open(session) <= moment < session.opens_at:
                    return True
                if after and session.closes_at <= moment < extended_close(session):
                    return True
        return False

    def moments_between(
        self, after: datetime, until: datetime, next_minute: NextMinute = _every_minute
    ) -> Iterator[Event]:
        """What happens in (after, until], in order; of the minutes only those that `next_minute` asks for."""
        for index in range(max(self.opened_index(after), 0), len(self.sessions)):
            session = self.sessions[index]
            if extended_open(session) > until:
                return
            for event in self._moments_of(session, after, until, next_minute):
                if event[0] > until:
                    return
                if event[0] > after:
                    yield event

    def _moments_of(
        self, session: TradingSession, after: datetime, until: datetime, next_minute: NextMinute
    ) -> Iterator[Event]:
        before, later = self._outside(session)
        opens_at, closes_at, ends_at = session.opens_at, session.closes_at, extended_close(session)

        def minutes(first: datetime, stop: datetime) -> Iterator[Event]:
            at = max(first, time_of(minute_of(after) + 1))
            last = min(stop - MINUTE, until)
            while at <= last:
                wanted = next_minute(at, last, session)
                if wanted is None:
                    return
                yield wanted, Moment.MINUTE, session
                at = wanted + MINUTE

        if before:
            yield from minutes(extended_open(session), opens_at)
        yield opens_at, Moment.OPEN, session
        if any(self.is_by_minute(conid, session) for conid in self._minutes):
            yield from minutes(opens_at + MINUTE, closes_at)
        yield closes_at, Moment.CLOSE, session
        if later:
            yield from minutes(closes_at + MINUTE, ends_at)
            yield ends_at, Moment.END, session

    def _outside(self, session: TradingSession) -> tuple[bool, bool]:
        """Whether there are minute bars before the open, and after the close, of a session's day."""
        spans = [
            [self.minutes_between(conid, first, stop) for conid in self._minutes]
            for first, stop in (
                (extended_open(session), session.opens_at),
                (session.closes_at, extended_close(session)),
            )
        ]
        return any(i < j for _, i, j in spans[0]), any(i < j for _, i, j in spans[1])

"""What the account was worth at every past close, and what its executions earned: figures for performance reports.

The history is read from the ledger's rows, which hold everything that ever changed the account, so that a restarted
gateway reports the same. Periods and spellings are `face.performance`'s work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from ibkr_assets.domain.session import TradingSession
from ibkr_assets.simulator.account import ZERO, Account
from ibkr_assets.simulator.book import Book
from ibkr_assets.simulator.records import Record, record_of
from ibkr_assets.simulator.tape import Tape


@dataclass(frozen=True, slots=True)
class DayValue:
    """Net liquidation value in USD at a session's close. `flow` came in since the close before, without a trade."""

    day: date
    value: Decimal
    flow: Decimal


@dataclass(frozen=True, slots=True)
class Earning:
    """Profit taken by one execution, in USD, without its commission."""

    execution_id: str | None
    at: datetime
    conid: int
    amount: Decimal


class NavHistory:
    """Reads ledger rows once each; asking again costs what is new. `start` is when the account was opened."""

    def __init__(self, tape: Tape, account: str, opening_cash: Decimal, start: datetime) -> None:
        self._tape = tape
        self._opening_cash = opening_cash
        self._account = account
        self._start = start
        self._book: Book | None = None
        self._rows_read = 0
        self._next_session = 0
        self._flow = ZERO
        self.days: list[DayValue] = []
        self.earnings: list[Earning] = []

    @property
    def flow(self) -> Decimal:
        """What came in since the last close without a trade, in USD."""
        return self._flow

    @property
    def opening_cash(self) -> Decimal:
        """What the account began with, in USD."""
        return self._opening_cash

    def read(self, rows: Sequence[Mapping[str, Any]], now: datetime) -> None:
        """Take in what happened since the last call. `rows` are all rows of the ledger so far."""
        new = [record_of(dict(row)) for row in rows[self._rows_read :]]
        self._rows_read = len(rows)
        book = self._begin(new)
        for record in new:
            self._close_until(book, record.at)
            self._apply(book, record)
        self._close_until(book, now)

    def _begin(self, new: Sequence[Record]) -> Book:
        if self._book is None:
            # A ledger that an earlier process began may be older than this process's start.
            start = min(self._start, new[0].at) if new else self._start
            self._book = Book(Account(self._account, self._opening_cash), start)
            while self._session is not None and self._session.closes_at <= start:
                self._next_session += 1
        return self._book

    @property
    def _session(self) -> TradingSession | None:
        sessions = self._tape.sessions
        return sessions[self._next_session] if self._next_session < len(sessions) else None

    def _close_until(self, book: Book, moment: datetime) -> None:
        """Value the sessions that closed before `moment`: what happens at a close still belongs to it."""
        while (session := self._session) is not None and session.closes_at < moment:
            value = book.account.net_liquidation(partial(self._price, session.closes_at))
            self.days.append(DayValue(session.day, value, self._flow))
            self._flow = ZERO
            self._next_session += 1

    def _apply(self, book: Book, record: Record) -> None:
        held = book.account.holdings.get(record.conid) if record.conid is not None else None
        before = held.realized if held is not None else ZERO
        book.apply(record)
        if record.event == "position" and record.quantity is not None and record.price is not None:
            self._flow += record.quantity * record.price
        if record.event == "bust":
            self.earnings = [one for one in self.earnings if one.execution_id != record.execution_id]
        if record.event == "fill" and record.conid is not None:
            earned = book.account.holding(record.conid).realized - before
            if earned:
                self.earnings.append(Earning(record.execution_id, record.at.astimezone(UTC), record.conid, earned))

    def _price(self, moment: datetime, conid: int) -> Decimal:
        last = self._tape.last_price(conid, moment)
        return last.price if last is not None else ZERO

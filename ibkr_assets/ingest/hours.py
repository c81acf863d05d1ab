"""The exchange's calendar held against the hours that the broker tells of each contract.

What goes here: asking, comparing, keeping. What does not: comparing one contract (`market.hours`). A difference blocks
the orders of that contract for that session (`execution.proof`): one of the two is wrong about when it trades.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

from ibkr_assets.domain.errors import BrokerRefusal, UnreadableAnswer
from ibkr_assets.market.hours import Hours, HoursDifference, compare_hours

if TYPE_CHECKING:
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import Clock


class HoursSource(Protocol):
    """Who knows when a contract trades."""

    def trading_hours(self, instrument: Instrument) -> Mapping[date, Hours]:
        """Regular hours of the next days, by day of the exchange."""


class HoursRegister(Protocol):
    """Where differences are kept: see `adapters.postgres.hours`."""

    def save_hours(
        self,
        conid: int,
        calendar: str,
        differences: Sequence[HoursDifference],
        *,
        first: date,
        last: date,
        now: datetime,
    ) -> None:
        """What differs for a contract from `first` to `last`."""


@dataclass(slots=True)
class HoursReport:
    """Contracts asked about, differences by symbol, and contracts of which the broker told nothing, with the reason."""

    asked: int = 0
    differences: dict[str, list[HoursDifference]] = field(default_factory=dict)
    untold: dict[str, str] = field(default_factory=dict)


def check_hours(
    source: HoursSource,
    register: HoursRegister,
    calendar: ExchangeCalendar,
    *,
    instruments: Sequence[Instrument],
    clock: Clock,
    progress: Callable[[str], None],
) -> HoursReport:
    """Ask for the hours of each contract and keep where they are not the calendar's. Raises Unavailable."""
    report = HoursReport()
    for number, instrument in enumerate(instruments, start=1):
        report.asked += 1
        try:
            told = source.trading_hours(instrument)
        except (BrokerRefusal, UnreadableAnswer) as error:
            report.untold[instrument.symbol] = str(error)
            continue
        if not told:
            report.untold[instrument.symbol] = "no day in the answer"
            continue
        found = compare_hours(calendar, told)
        register.save_hours(
            instrument.conid, calendar.mic, found, first=min(told), last=max(told), now=clock.now()
        )  # fmt: skip
        if found:
            report.differences[instrument.symbol] = found
        if number % 50 == 0 or number == len(instruments):
            progress(f"{number} of {len(instruments)} contracts: {len(report.differences)} differ")
    return report

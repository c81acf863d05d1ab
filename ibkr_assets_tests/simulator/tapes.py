"""Small tapes made by hand, and tickets to try on them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from ibkr_assets.domain.session import TradingSession
from ibkr_assets.simulator.bars import PRICE_UNITS, MinuteBars, TapeBar
from ibkr_assets.simulator.hours import minute_of
from ibkr_assets.simulator.listings import contracts_of
from ibkr_assets.simulator.records import Record
from ibkr_assets.simulator.tape import CorporateAction, Tape
from ibkr_assets.simulator.tickets import Ticket
from ibkr_assets.simulator.venue import Venue

CONID = 8314
FIRST = date(2012, 10, 1)


def bar(opened: str, high: str, low: str, close: str, volume: int = 1_000_000) -> TapeBar:
    return TapeBar(Decimal(opened), Decimal(high), Decimal(low), Decimal(close), volume)


def small_tape(bars: Sequence[TapeBar], actions: Sequence[CorporateAction] = ()) -> Tape:
    """IBM on successive days from 2012-10-01, 13:30 to 20:00 UTC, whatever the weekday."""
    days = [FIRST + timedelta(days=i) for i in range(len(bars))]
    sessions = [
        TradingSession(
            "XNYS", day, datetime.combine(day, time(13, 30), UTC), datetime.combine(day, time(20, 0), UTC)
        )
        for day in days
    ]  # fmt: skip
    return Tape(sessions, contracts_of(["IBM"]), {CONID: dict(zip(days, bars, strict=True))}, actions)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """An instant of the n-th day of a small tape, counted from 0, UTC."""
    return datetime.combine(FIRST + timedelta(days=day), time(hour, minute), UTC)


def small_venue(
    tape: Tape, *, start: datetime | None = None, cash: str = "100000", **options: bool
) -> tuple[Venue, list[Record]]:
    records: list[Record] = []
    venue = Venue(tape, "DU1", Decimal(cash), start or at(0, 21), seed=7, sink=records.append, **options)
    return venue, records


def ticket(
    side: str = "BUY",
    quantity: int = 10,
    price: str | None = "100",
    *,
    kind: str = "LMT",
    life: str = "DAY",
    coid: str | None = None,
    aux: str | None = None,
    trail: str | None = None,
    unit: str = "amt",
    is_outside_rth: bool = False,
    parent_id: int | None = None,
    group: str | None = None,
) -> Ticket:
    return Ticket(
        coid, CONID, side, kind, Decimal(quantity), None if price is None else Decimal(price),
        None if aux is None else Decimal(aux), life, is_outside_rth, None if trail is None else Decimal(trail),
        None if trail is None else unit, parent_id=parent_id, group=group,
    )  # fmt: skip


def minute(clock: str, opened: str, high: str, low: str, close: str, volume: int = 100_000) -> tuple[str, TapeBar]:
    """A minute of the first day of a minute tape; `clock` is UTC, the session is 13:30 to 20:00."""
    return clock, bar(opened, high, low, close, volume)


def minute_tape(*days: Sequence[tuple[str, TapeBar]]) -> Tape:
    """IBM with these minutes on successive days from 2012-10-01, and days made of the regular ones."""
    columns: list[list[int]] = [[] for _ in range(6)]
    daily = []
    for number, minutes in enumerate(days):
        regular = []
        for clock, one in minutes:
            moment = at(number, int(clock[:2]), int(clock[3:]))
            prices = (int(price * PRICE_UNITS) for price in (one.open, one.high, one.low, one.close))
            for column, value in zip(columns, (minute_of(moment), *prices, one.volume), strict=True):
                column.append(value)
            if "13:30" <= clock < "20:00":
                regular.append(one)
        daily.append(
            TapeBar(
                regular[0].open, max(m.high for m in regular), min(m.low for m in regular), regular[-1].close,
                sum(m.volume for m in regular),
            )
        )  # fmt: skip
    whole = small_tape(daily)
    bars = {session.day: day for session, day in zip(whole.sessions, daily, strict=True)}
    return Tape(whole.sessions, contracts_of(["IBM"]), {CONID: bars}, minutes={CONID: MinuteBars(*columns)})

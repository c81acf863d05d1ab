"""Orders against minute bars, worked out by hand."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from ibkr_assets.simulator.tape import Moment
from ibkr_assets.simulator.venue_order import Status
from ibkr_assets_tests.simulator.tapes import CONID, at, minute, minute_tape, small_venue, ticket

#: The session before, then 100, a rise to 103, a fall through 99 with a gap, and a quiet end.
DAY_BEFORE = [minute("13:30", "100", "100", "100", "100"), minute("19:59", "100", "100", "100", "100")]
DAY = [
    minute("13:30", "100.00", "100.50", "99.80", "100.20"),
    minute("13:31", "100.30", "103.00", "100.10", "102.50"),
    minute("13:32", "102.40", "102.60", "101.00", "101.20"),
    minute("13:34", "98.50", "99.50", "98.00", "99.00"),  # nobody traded at 13:33
    minute("19:59", "99.20", "99.40", "99.10", "99.30", 1000),
]


def test_a_limit_fills_when_the_minute_that_touched_it_is_over() -> None:
    venue, records = small_venue(minute_tape(DAY_BEFORE, DAY))
    order = venue.submit(ticket("SELL", price="102.50"))
    venue.advance(at(1, 13, 31))
    assert order.status is Status.SUBMITTED
    venue.advance(at(1, 13, 31) + timedelta(seconds=59))
    assert order.filled == 0
    venue.advance(at(1, 13, 32))
    assert (order.average_price, order.updated_at) == (Decimal("102.50"), at(1, 13, 32))
    assert [r.at for r in records if r.event == "fill"] == [at(1, 13, 32)]


@pytest.mark.parametrize(
    ("kind", "price", "aux", "expected", "minute_of_fill"),
    [
        ("STP", "101.10", None, "101.10", 33),  # inside 13:32, whose low is 101.00
        ("STP", "100.50", None, "98.50", 34),  # the market opens 13:34 below it: the gap's price, not the stop's
        ("STOP_LIMIT", "100.40", "100.50", None, None),  # the gap jumped over the limit too
        ("STOP_LIMIT", "98.40", "100.50", "98.50", 34),
    ],
)
def test_stops_fill_at_their_price_or_at_the_open_that_jumped_over_it(
    kind: str, price: str, aux: str | None, expected: str | None, minute_of_fill: int | None
) -> None:
    venue, _ = small_venue(minute_tape(DAY_BEFORE, DAY))
    venue.advance(at(1, 13, 31) + timedelta(seconds=30))
    order = venue.submit(ticket("SELL", price=price, kind=kind, aux=aux))
    assert order.status is Status.PRE_SUBMITTED
    venue.advance(at(1, 13, 40))
    assert order.average_price == (None if expected is None else Decimal(expected))
    if minute_of_fill is not None:
        assert order.updated_at == at(1, 13, minute_of_fill)


def test_a_market_order_takes_the_close_of_the_minute_it_came_in_and_a_silent_minute_makes_it_wait() -> None:
    venue, _ = small_venue(minute_tape(DAY_BEFORE, DAY))
    venue.advance(at(1, 13, 31) + timedelta(seconds=30))
    first = venue.submit(ticket(price=None, kind="MKT"))
    venue.advance(at(1, 13, 33) + timedelta(seconds=30))
    second = venue.submit(ticket(price=None, kind="MKT"))
    venue.advance(at(1, 13, 35))
    assert (first.average_price, first.updated_at) == (Decimal("102.50"), at(1, 13, 32))
    assert (second.average_price, second.updated_at) == (Decimal("98.50"), at(1, 13, 34))


def test_a_large_order_takes_a_tenth_of_each_minute() -> None:
    flat = [minute(f"13:{30 + i}", "10", "10", "10", "10", 1000) for i in range(5)]
    venue, records = small_venue(minute_tape(DAY_BEFORE, flat))
    order = venue.submit(ticket(quantity=250, price="12"))
    venue.advance(at(1, 13, 31) - timedelta(seconds=1))
    assert (order.filled, order.status) == (Decimal(100), Status.SUBMITTED)
    venue.advance(at(1, 14))
    fills = [(r.at, r.quantity) for r in records if r.event == "fill"]
    assert fills == [(at(1, 13, 30), 100), (at(1, 13, 31), 100), (at(1, 13, 32), 50)]
    # By hand: 250 shares at half a cent are 1.25, whatever the number of executions.
    assert order.commission == Decimal("1.25")


def test_immediate_or_cancel_gets_one_minute_and_its_rest_is_cancelled() -> None:
    flat = [minute(f"13:{30 + i}", "10", "10", "10", "10", 1000) for i in range(5)]
    venue, _ = small_venue(minute_tape(DAY_BEFORE, flat))
    venue.advance(at(1, 13, 31) + timedelta(seconds=1))
    order = venue.submit(ticket(quantity=250, price="12", life="IOC"))
    venue.advance(at(1, 13, 32))
    # The rest of its own minute, and the first of the next: a tenth of each.
    assert (order.filled, order.status) == (Decimal(200), Status.CANCELLED)


@pytest.mark.parametrize(("unit", "trail"), [("amt", "1.00"), ("%", "1")])
def test_a_trailing_stop_follows_the_best_price_and_never_steps_back(unit: str, trail: str) -> None:
    venue, records = small_venue(minute_tape(DAY_BEFORE, DAY))
    order = venue.submit(ticket("SELL", price=None, kind="TRAIL", trail=trail, unit=unit))
    assert order.trail_stop == Decimal("99.00")  # behind the newest price, the close of 100
    venue.advance(at(1, 13, 40))
    stops = [Decimal(r.detail["stop"]) for r in records if r.event == "work" and "stop" in r.detail]
    assert stops == sorted(stops)
    # By hand: the best price is 103.00; 1 % of it rounds down to 101.97. Both are passed in 13:32, which falls to 101.
    best = {"amt": "102.00", "%": "101.97"}[unit]
    assert (order.average_price, order.updated_at) == (Decimal(best), at(1, 13, 33))


def test_a_trailing_stop_that_a_minute_reached_as_it_stood_is_not_saved_by_the_minute_s_high() -> None:
    swing = [minute("13:30", "100", "100", "100", "100"), minute("13:31", "100", "103", "98.90", "102.80")]
    venue, _ = small_venue(minute_tape(DAY_BEFORE, swing))
    order = venue.submit(ticket("SELL", price=None, kind="TRAIL", trail="1.00"))
    venue.advance(at(1, 13, 32))
    # Whether the high of 103 came before the low is unknown; the stop of 99.00 was passed either way.
    assert order.average_price == Decimal("99.00")


def test_a_trailing_stop_limit_keeps_its_distance_and_needs_its_limit() -> None:
    venue, _ = small_venue(minute_tape(DAY_BEFORE, DAY))
    order = venue.submit(ticket("SELL", kind="TRAILLMT", price="98.50", aux="99.00", trail="3.00"))
    venue.advance(at(1, 13, 34))
    # By hand: from 103.00 the stop is at 100.00 and the limit at 99.50; 13:34 opens at 98.50, beyond both.
    assert (order.trail_stop, order.limit, order.is_triggered) == (Decimal("100.00"), Decimal("99.50"), True)
    assert order.filled == 0
    assert order.status is Status.SUBMITTED
    venue.advance(at(1, 13, 35))
    assert order.average_price == Decimal("99.50")


@pytest.mark.parametrize(
    ("kind", "price", "filled_at"), [("MOC", None, "99.30"), ("LOC", "99.30", "99.30"), ("LOC", "99.20", None)]
)
def test_orders_for_the_close_trade_at_the_close_alone(kind: str, price: str | None, filled_at: str | None) -> None:
    venue, _ = small_venue(minute_tape(DAY_BEFORE, DAY))
    order = venue.submit(ticket(price=price, kind=kind))
    venue.advance(at(1, 19, 59))
    assert (order.filled, order.status) == (0, Status.SUBMITTED)
    venue.advance(at(1, 20))
    assert order.average_price == (None if filled_at is None else Decimal(filled_at))
    assert order.status is (Status.FILLED if filled_at else Status.CANCELLED)


def test_a_midprice_order_trades_at_the_price_up_to_its_cap() -> None:
    venue, _ = small_venue(minute_tape(DAY_BEFORE, DAY))
    free, capped = venue.submit(ticket(price=None, kind="MIDPRICE")), venue.submit(ticket(price="99", kind="MIDPRICE"))
    venue.advance(at(1, 13, 31))
    assert (free.average_price, capped.filled) == (Decimal("100.00"), 0)
    venue.advance(at(1, 13, 34))
    assert capped.average_price == Decimal("98.50")


def test_outside_regular_hours_only_orders_that_say_so_trade() -> None:
    before = [minute("12:00", "97", "97", "96", "96.5"), minute("12:05", "96", "96", "96", "96")]
    after = [minute("20:10", "90", "90", "90", "90")]
    venue, _ = small_venue(minute_tape(DAY_BEFORE, before + DAY + after))
    regular = venue.submit(ticket(price="97"))
    anywhere = venue.submit(ticket(price="96.80", is_outside_rth=True))
    late = venue.submit(ticket(price="91", is_outside_rth=True))
    venue.advance(at(1, 12, 0) + timedelta(seconds=30))
    assert (anywhere.status, regular.status) == (Status.SUBMITTED, Status.PRE_SUBMITTED)
    venue.advance(at(1, 12, 1))
    assert anywhere.average_price == Decimal("96.80")
    venue.advance(at(1, 20, 5))
    assert (regular.status, late.status) == (Status.CANCELLED, Status.SUBMITTED)
    venue.advance(at(1, 20, 10))
    assert late.average_price == Decimal(90)


def test_an_order_outside_regular_hours_ends_with_them() -> None:
    after = [minute("20:10", "95", "95", "95", "95")]
    venue, _ = small_venue(minute_tape(DAY_BEFORE, DAY + after))
    day = venue.submit(ticket(price="91", is_outside_rth=True))
    kept = venue.submit(ticket(price="91", is_outside_rth=True, life="GTC"))
    venue.advance(at(2, 0))
    assert (day.status, day.updated_at) == (Status.CANCELLED, at(2, 0))
    assert kept.status is Status.PRE_SUBMITTED


def test_nothing_is_known_before_its_time() -> None:
    tape = minute_tape(DAY_BEFORE, DAY)
    last = tape.last_price(CONID, at(1, 13, 31) + timedelta(seconds=59))
    assert last is not None
    assert (last.price, last.is_close) == (Decimal("100.30"), False)  # its open, neither its high nor its close
    after = tape.last_price(CONID, at(1, 13, 33))
    assert after is not None
    assert after.price == Decimal("101.20")  # nobody trades at 13:33: the last close stands
    session = tape.sessions[1]
    known = tape.known_bar(CONID, session, at(1, 13, 31))
    assert known is not None
    assert (known.open, known.high, known.low, known.close, known.volume) == (
        Decimal("100.00"), Decimal("100.50"), Decimal("99.80"), Decimal("100.30"), 100_000,
    )  # fmt: skip
    assert tape.known_bar(CONID, session, at(1, 13, 29)) is None
    assert tape.known_bar(CONID, session, at(1, 20)) == tape.bar(CONID, session.day)


def test_minutes_are_visited_once_in_order_and_only_where_somebody_waits() -> None:
    tape = minute_tape(DAY_BEFORE, DAY)
    events = list(tape.moments_between(at(1, 13), at(1, 20)))
    assert len(events) == 391  # the open, 389 minutes between, and the close
    assert [moment for _, moment, _ in events[:2]] == [Moment.OPEN, Moment.MINUTE]
    assert [moment_at for moment_at, _, _ in events] == sorted({moment_at for moment_at, _, _ in events})
    halves = [list(tape.moments_between(a, b)) for a, b in ((at(1, 13), at(1, 15)), (at(1, 15), at(1, 20)))]
    assert halves[0] + halves[1] == events
    idle = list(tape.moments_between(at(1, 13), at(1, 20), lambda *_: None))
    assert [moment for _, moment, _ in idle] == [Moment.OPEN, Moment.CLOSE]


@pytest.mark.parametrize("step_s", [1, 37, 60, 3600])
def test_how_often_the_clock_is_looked_at_changes_nothing(step_s: int) -> None:
    def play(step: timedelta | None) -> list[tuple[str, object]]:
        venue, records = small_venue(minute_tape(DAY_BEFORE, DAY))
        venue.submit(ticket("SELL", price="102.50"))
        venue.submit(ticket("SELL", price=None, kind="TRAIL", trail="1"))
        venue.submit(ticket("BUY", price="98.20"))
        venue.submit(ticket("BUY", price=None, kind="MOC"))
        while step is not None and venue.now < at(1, 13, 36):
            venue.advance(venue.now + step if venue.now >= at(1, 13, 29) else at(1, 13, 29), is_recorded=False)
        venue.advance(at(1, 21))
        return [(r.event, r) for r in records if r.event not in ("clock", "work")]

    assert play(timedelta(seconds=step_s)) == play(None)

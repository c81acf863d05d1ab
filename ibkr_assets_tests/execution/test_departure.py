"""The last review before an order leaves, over a real ledger: what waits, what is denied, and what then goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.order import TimeInForce
from ibkr_assets.execution.watch import Watch
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.risk.limits import Limits
from ibkr_assets_tests.execution.desk import Desk, an_intent
from ibkr_assets_tests.risk.orders import CLOSE, NEXT_OPEN


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(database, tmp_path)
    yield made
    made.stop()


def hear(desk: Desk, **limits: object) -> Desk:
    """Start a submitter that hears every rule of a departure, under these limits."""
    desk.start()
    assert desk.seat is not None
    options = replace(desk.seat.options, hears_departure=True, limits=Limits(**limits))  # type: ignore[arg-type]
    desk.seat = replace(desk.seat, options=options)
    assert desk.looks is not None
    desk.watch = Watch(desk.seat, desk.looks)
    return desk


def test_an_ordinary_order_leaves(desk: Desk) -> None:
    hear(desk)
    record = desk.propose(an_intent())
    desk.turn()
    assert str(desk.record(record).state) in ("ACKED", "WORKING")


def test_calls_beyond_the_pace_wait_and_are_not_denied(desk: Desk) -> None:
    hear(desk, max_messages_per_second=10, max_messages_per_minute=2)
    records = [desk.propose(an_intent(number)) for number in range(4)]
    desk.turn(2)
    assert desk.broker.calls.count("place") == 2
    waiting = [r for r in map(desk.record, records) if str(r.state) == "APPROVED"]
    assert len(waiting) == 2
    assert all(r.reason.startswith("throttle: 2 calls in a second and 2 in a minute") for r in waiting)


def test_an_order_of_the_day_waits_for_its_market_and_one_that_is_too_old_is_denied(desk: Desk) -> None:
    hear(desk)
    later = NEXT_OPEN + timedelta(days=4)
    closed = desk.propose(an_intent(1, time_in_force=TimeInForce.DAY, valid_until=later))
    old = desk.propose(an_intent(2, signal_bar_end=CLOSE - timedelta(days=7)))
    desk.turn()
    assert desk.record(closed).reason.startswith("market_hours: the market is closed at 2012-10-01")
    assert desk.record(old).reason == "signal_age: the signal is 5.00 bars old; 1.5 are allowed"
    assert (str(desk.record(closed).state), str(desk.record(old).state)) == ("APPROVED", "DENIED")
    assert desk.broker.calls.count("place") == 0
    assert exchange_calendar("XNYS").session_at(desk.market.now()) is None

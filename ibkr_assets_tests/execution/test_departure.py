"""The last review before an order leaves, over a real ledger: what waits, what is denied, and what then goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.errors import BrokerRefusal, PlatformError, Unavailable, UnreadableAnswer
from ibkr_assets.domain.order import Mode, Side, TimeInForce
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
    assert desk.broker.calls.count("preview") == 2, "an order that waits anyway costs no call"


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


def test_the_broker_is_asked_once_for_each_order_right_before_it_leaves(desk: Desk) -> None:
    hear(desk)
    desk.propose(an_intent())
    desk.turn()
    asked, placed = desk.broker.calls.index("preview"), desk.broker.calls.index("place")
    assert placed == asked + 1
    assert desk.broker.calls.count("preview") == 1


def test_an_order_whose_margin_the_equity_would_not_cover_is_denied(desk: Desk) -> None:
    hear(desk)
    desk.broker.margin_used = Decimal(98_970) + Decimal("0.01")  # half of 10 x 206 USD is 1,030
    record = desk.propose(an_intent())
    desk.turn()
    assert str(desk.record(record).state) == "DENIED"
    assert desk.record(record).reason.startswith("margin: the initial margin would be 100000.01, and equity 100000")
    desk.broker.margin_used = Decimal(98_970)
    just = desk.propose(an_intent(2))
    desk.turn()
    assert str(desk.record(just).state) in ("ACKED", "WORKING")
    assert desk.broker.calls.count("place") == 1


@pytest.mark.parametrize(
    "error", [BrokerRefusal("no margin account", status=200), UnreadableAnswer("preview: no whole answer")]
)
def test_a_preview_that_fails_denies_and_nothing_leaves(desk: Desk, error: PlatformError) -> None:
    hear(desk)
    desk.broker.preview_error = error
    record = desk.propose(an_intent())
    desk.turn()
    assert desk.record(record).reason == f"margin: the broker did not say what the order would do: {error}"
    assert (str(desk.record(record).state), desk.broker.calls.count("place")) == ("DENIED", 0)


def test_an_order_waits_for_a_broker_that_could_not_be_asked(desk: Desk) -> None:
    hear(desk)
    desk.broker.preview_error = Unavailable("connection refused")
    record = desk.propose(an_intent())
    with pytest.raises(Unavailable, match="connection refused"):
        desk.turn()
    assert (str(desk.record(record).state), desk.calls_of(record)) == ("APPROVED", [])
    desk.broker.preview_error = None
    desk.turn()
    assert str(desk.record(record).state) in ("ACKED", "WORKING")


def test_a_rehearsal_and_a_sale_of_what_is_held_ask_for_no_preview(desk: Desk) -> None:
    hear(desk, max_messages_per_second=10)
    bought = desk.propose(an_intent(1))
    desk.turn()
    desk.broker.fill(bought.client_order_id, 10, "200.00")
    desk.turn(2)
    desk.broker.calls.clear()
    rehearsed = desk.propose(an_intent(2, mode=Mode.DRY_RUN))
    sold = desk.propose(an_intent(3, side=Side.SELL, limit_price=Decimal("199.00")))
    desk.turn()
    assert str(desk.record(rehearsed).state) == "NOT_PLACED"
    assert str(desk.record(sold).state) in ("ACKED", "WORKING")
    assert desk.broker.calls.count("preview") == 0

"""The last review before an order leaves, over a real ledger: what waits, what is denied, and what then goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.lineage import PostgresLineage
from ibkr_assets.adapters.postgres.past_decisions import load_decisions
from ibkr_assets.cli.story import tell
from ibkr_assets.domain.errors import BrokerRefusal, PlatformError, Unavailable, UnreadableAnswer
from ibkr_assets.domain.order import Mode, Side, TimeInForce
from ibkr_assets.execution.replayed_review import compare_review
from ibkr_assets.execution.watch import Watch
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.risk.limits import Limits
from ibkr_assets.risk.what_if import Answer, parse_changes, review_again
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


def test_a_refusal_at_departure_is_a_decision_of_its_own_and_can_be_asked_again(desk: Desk) -> None:
    hear(desk)
    record = desk.propose(an_intent(2, signal_bar_end=CLOSE - timedelta(days=7)))
    desk.turn()
    approval, refusal = load_decisions(desk.database)
    assert [(one.heard, one.is_approved) for one in (approval, refusal)] == [("approval", True), ("departure", False)]
    (failed,) = (finding for finding in refusal.findings if not finding.is_passed)
    assert (failed.code, failed.numbers) == ("signal_age", {"signal_age_bars": "5.0", "allowed": "1.5"})
    assert {"quote", "clock", "collar", "throttle"} <= {finding.code for finding in refusal.findings}
    wider = review_again(refusal, parse_changes(["max_signal_age_bars=10"]))
    assert (wider.answer, wider.code) == (Answer.APPROVED, "signal_age")
    assert review_again(refusal, parse_changes(["max_quote_age_s=30"])).answer is Answer.SAME

    document = PostgresLineage(desk.database).document(record.client_order_id)
    assert (document["departure"]["code"], document["risk"]["is_approved"]) == ("signal_age", True)
    assert compare_review(document, "departure") is None
    told = tell(document, width=110).splitlines()
    line = next(number for number, text in enumerate(told) if text.startswith("DEPARTURE"))
    assert told[line].startswith("DEPARTURE denied by signal_age: the signal is 5.00 bars old; 1.5 are allowed at")
    assert told[line + 1].strip() == "✗ signal_age: the signal is 5.00 bars old; 1.5 are allowed"
    assert [found for found in check_invariants(desk.database) if found["violations"]] == []


def test_what_lasts_is_named_before_what_passes_by_itself_and_comes_out_the_same_again(desk: Desk) -> None:
    hear(desk)
    desk.broker.skew_s = 60.0
    later = NEXT_OPEN + timedelta(days=4)
    record = desk.propose(an_intent(1, time_in_force=TimeInForce.DAY, valid_until=later))
    desk.turn()
    document = PostgresLineage(desk.database).document(record.client_order_id)
    failed = {found["code"] for found in document["departure"]["findings"] if not found["is_passed"]}
    assert (document["departure"]["code"], failed >= {"clock", "market_hours"}) == ("clock", True)
    assert compare_review(document, "departure") is None


def test_the_last_look_at_clock_and_quote_is_stored_when_it_refuses(desk: Desk) -> None:
    desk.start()
    desk.broker.skew_s = 60.0
    record = desk.propose(an_intent())
    desk.turn()
    assert desk.record(record).reason.startswith("clock: the gateway's clock is 60 s ahead of ours")
    _, refusal = load_decisions(desk.database)
    assert [(f.code, f.is_passed, f.numbers["skew_s"]) for f in refusal.findings] == [("clock", False, "60.0")]
    assert review_again(refusal, parse_changes(["max_gateway_skew_s=90"])).answer is Answer.APPROVED


def test_an_order_that_waits_leaves_no_refusal_behind(desk: Desk) -> None:
    hear(desk, max_messages_per_second=10, max_messages_per_minute=1)
    for number in range(2):
        desk.propose(an_intent(number))
    desk.turn(3)
    assert [one.heard for one in load_decisions(desk.database)] == ["approval", "approval"]

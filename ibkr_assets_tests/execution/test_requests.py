"""What a person asks of one order: acted on by the submitter alone, refused where the order has moved on."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from ibkr_assets.adapters.postgres.order_requests import PostgresOrderRequests
from ibkr_assets.domain.errors import LedgerConflict
from ibkr_assets.domain.ledger import CallOutcome, Evidence
from ibkr_assets.execution.evidence import next_look_s
from ibkr_assets_tests.execution.desk import REF, an_intent, ticket_of


@pytest.fixture
def requests(desk) -> PostgresOrderRequests:
    return PostgresOrderRequests(desk.database, REF)


def cancel(requests, record, *, state, filled="0"):
    requests.cancel(
        record.client_order_id, actor="ann", session="s", reason="wrong size", seen_state=state,
        seen_filled=Decimal(filled),
    )  # fmt: skip


def in_doubt_with_a_moved_position(desk):
    """An order that was dropped on its way, while somebody else's trade moved the position: looks never count."""
    desk.start()
    desk.broker.script.append("dropped")
    record = desk.propose(an_intent())
    desk.turn()
    desk.broker.held[record.intent.conid] = desk.broker.held.get(record.intent.conid, 0) + 10
    desk.turn(4)
    assert str(desk.record(record).state) == "UNKNOWN"
    return record


def look_half_a_minute_ago(desk, record):
    """As if the lists had been read then, too: the database measures by its own clock."""
    with desk.database.connect() as connection:
        connection.execute(
            "insert into oms.absence_observation (intent_id, gateway_session, is_ready, is_snapshot, is_primed, "
            "is_position_unchanged, orders_seen, trades_seen, observed_at) "
            "values (%s, 'x', true, true, true, false, 0, 0, clock_timestamp() + interval '31 seconds')",
            (record.intent_id,),
        )


def test_a_working_order_is_cancelled_with_the_persons_reason_and_no_other_is(desk, requests):
    desk.start()
    record, other = desk.propose(an_intent(1)), desk.propose(an_intent(2, conid=272093, symbol="MSFT"))
    desk.turn(3)
    cancel(requests, record, state="WORKING")
    desk.turn(3)
    assert (str(desk.record(record).state), str(desk.record(other).state)) == ("CANCELLED", "WORKING")
    assert desk.calls_of(record) == [("place", "ok"), ("cancel", "ok")]
    assert requests.standing(record.client_order_id)["cancel_asked"]["reason"] == "wrong size"


def test_an_order_that_has_not_left_never_leaves(desk, requests):
    desk.start()
    desk.whole_ledger.control("kill", scope="global", actor="somebody", reason="stop")
    record = desk.propose(an_intent())
    desk.turn()
    cancel(requests, record, state="APPROVED")
    desk.whole_ledger.control("resume", scope="global", actor="somebody", reason="go on")
    desk.turn(3)
    now = desk.record(record)
    assert (str(now.state), now.reason) == ("DENIED", "cancelled by ann: wrong size")
    assert desk.calls_of(record) == []


def test_an_order_in_doubt_is_cancelled_once_it_is_found(desk, requests):
    desk.start()
    desk.broker.script.append("dropped")
    record = desk.propose(an_intent())
    desk.settle_s = 1e6
    desk.watch._send(desk.market.now())
    cancel(requests, record, state="UNKNOWN")
    desk.broker.place(ticket_of(record))
    desk.turn(6)
    assert str(desk.record(record).state) == "CANCELLED"


@pytest.mark.parametrize(("state", "filled"), [("ACKED", "0"), ("WORKING", "1"), ("APPROVED", "0")])
def test_a_cancel_of_what_is_not_there_any_more_is_refused(desk, requests, state, filled):
    desk.start()
    record = desk.propose(an_intent())
    desk.turn(3)
    with pytest.raises(LedgerConflict, match=r"is WORKING with .* filled now, you saw"):
        cancel(requests, record, state=state, filled=filled)
    desk.turn(3)
    assert str(desk.record(record).state) == "WORKING"


def test_an_order_that_is_over_is_not_cancelled(desk, requests):
    desk.start()
    record = desk.propose(an_intent())
    desk.turn(2)
    desk.broker.fill(record.client_order_id, 10, "201")
    desk.turn(3)
    with pytest.raises(LedgerConflict, match="is over: FILLED"):
        cancel(requests, record, state="FILLED", filled="10")


def test_nobody_can_say_that_an_order_is_absent_which_was_not_looked_for(desk, requests):
    record = in_doubt_with_a_moved_position(desk)
    seen = requests.standing(record.client_order_id)
    assert not seen["may_be_stated"]
    with pytest.raises(LedgerConflict, match="were not both read twice, 30 seconds apart"):
        requests.state_absent(
            record.client_order_id, actor="ann", session="s", reason="the statement says so",
            unknown_since=seen["unknown_since"],
        )  # fmt: skip


def test_a_persons_word_ends_a_doubt_that_a_moved_position_keeps_open_and_sends_nothing_again(desk, requests):
    desk.may_resend = True
    record = in_doubt_with_a_moved_position(desk)
    look_half_a_minute_ago(desk, record)
    desk.turn(2)
    assert str(desk.record(record).state) == "UNKNOWN", "looks alone do not end it"
    seen = requests.standing(record.client_order_id)
    assert seen["may_be_stated"]
    with pytest.raises(LedgerConflict, match="look again"):
        requests.state_absent(
            record.client_order_id, actor="ann", session="s", reason="the statement says so",
            unknown_since=seen["unknown_since"] - timedelta(seconds=1),
        )  # fmt: skip
    requests.state_absent(
        record.client_order_id, actor="ann", session="s", reason="the statement says so",
        unknown_since=seen["unknown_since"],
    )  # fmt: skip
    desk.turn(3)
    now = desk.record(record)
    assert str(now.state) == "NOT_PLACED"
    assert "stated by ann: the statement says so" in now.reason
    assert desk.broker.calls.count("place") == 1


def test_the_next_look_that_counts_is_counted_down_to():
    known = Evidence(CallOutcome.AMBIGUOUS, "", 10.0, 0, None, None, 10.0, None)
    assert next_look_s(known, settle_s=30) == 20.0
    looked = Evidence(CallOutcome.AMBIGUOUS, "", 50.0, 1, 5.0, 5.0, 50.0, "x")
    assert next_look_s(looked, settle_s=30) == 25.0
    refused = Evidence(CallOutcome.REJECTED, "no", 1.0, 0, None, None, 1.0, None)
    assert next_look_s(refused, settle_s=30) == 0.0

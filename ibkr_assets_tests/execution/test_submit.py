"""Every answer a broker can give leads to the state it must, and to no other."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from ibkr_assets.domain.broker import Ambiguous, BrokerOrderStatus
from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.domain.order import Mode
from ibkr_assets.execution.kill import remove_kill_file, write_kill_file
from ibkr_assets_tests.execution.desk import REF, an_intent, ticket_of
from ibkr_assets_tests.risk.orders import NEXT_OPEN


def test_an_accepted_order_is_acked_with_the_brokers_id_and_one_call(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.turn()
    now = desk.record(record)
    assert str(now.state) in ("ACKED", "WORKING")
    assert now.broker_order_id in desk.broker.rows
    assert now.send_count == 1
    assert desk.calls_of(record) == [("place", "ok")]


def test_an_accepted_order_is_working_once_the_broker_shows_it(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.turn(3)
    assert str(desk.record(record).state) == "WORKING"


@pytest.mark.parametrize("word", ["lost", "late"])
def test_an_order_whose_answer_was_lost_is_found_and_adopted_never_sent_again(desk, word):
    desk.start()
    desk.broker.script.append(word)
    record = desk.propose(an_intent())
    desk.turn(8)
    assert str(desk.record(record).state) == "WORKING"
    assert desk.broker.arrivals(record.client_order_id) == 1
    assert desk.broker.calls.count("place") == 1


def test_an_order_that_never_arrived_is_not_placed_after_two_looks_and_not_sent_again(desk):
    desk.start()
    desk.broker.script.append("dropped")
    record = desk.propose(an_intent())
    desk.turn(10)
    now = desk.record(record)
    assert str(now.state) == "NOT_PLACED"
    assert "2 looks" in now.reason
    assert desk.broker.calls.count("place") == 1


def test_an_order_that_never_arrived_is_sent_again_under_the_same_id_where_that_is_allowed(desk):
    desk.may_resend = True
    desk.start()
    desk.broker.script.append("dropped")
    record = desk.propose(an_intent())
    desk.turn(12)
    now = desk.record(record)
    assert str(now.state) == "WORKING"
    assert now.send_count == 2
    assert desk.broker.arrivals(record.client_order_id) == 1


def test_a_refusal_is_believed_after_one_look_that_does_not_show_the_order(desk):
    desk.start()
    desk.broker.script.append("rejected")
    record = desk.propose(an_intent())
    desk.turn(4)
    now = desk.record(record)
    assert str(now.state) == "REJECTED"
    (row,) = [row for row in desk.whole_ledger.export() if row["client_order_id"] == record.client_order_id]
    assert [event["to"] for event in row["events"]][-3:] == ["SUBMITTING", "UNKNOWN", "REJECTED"]
    assert "No trading permissions" in now.reason


def test_a_duplicate_refusal_is_good_news_and_the_order_is_adopted(desk):
    desk.start()
    record = desk.propose(an_intent())
    # The same client order id is at the broker already, as after the loss of a ledger.
    desk.broker.place(ticket_of(record))
    desk.turn(6)
    now = desk.record(record)
    assert str(now.state) == "WORKING"
    assert desk.calls_of(record) == [("place", "duplicate")]
    assert desk.broker.arrivals(record.client_order_id) == 1


def test_a_call_that_never_left_leaves_the_order_approved_and_uncounted(desk):
    desk.start()
    desk.broker.script.append("not_sent")
    record = desk.propose(an_intent())
    with pytest.raises(Unavailable, match="could not be sent"):
        desk.turn()
    now = desk.record(record)
    assert (str(now.state), now.send_count) == ("APPROVED", 0)
    desk.start().turn(2)
    assert desk.calls_of(record) == [("place", "not_sent"), ("place", "ok")]


def test_a_question_that_our_own_limits_answer_is_confirmed(desk):
    desk.start()
    desk.broker.script.append("ask o163 o383")
    record = desk.propose(an_intent())
    desk.turn()
    assert [is_confirmed for _, is_confirmed in desk.broker.reply_log] == [True, True]
    assert desk.calls_of(record) == [("place", "question"), ("reply", "question"), ("reply", "ok")]
    assert desk.record(record).broker_order_id is not None


@pytest.mark.parametrize("message_id", ["o354", "o382", "o10164", "p6", "never-seen"])
def test_any_other_question_is_declined_and_ends_as_rejected(desk, message_id):
    desk.start()
    desk.broker.script.append(f"ask {message_id}")
    record = desk.propose(an_intent())
    desk.turn(4)
    now = desk.record(record)
    assert desk.broker.reply_log[0][1] is False
    assert str(now.state) == "REJECTED"
    assert message_id in now.reason
    assert desk.broker.rows == {}


def test_a_chain_of_more_than_four_questions_is_declined(desk):
    desk.start()
    desk.broker.script.append("ask " + " ".join(["o163"] * 6))
    record = desk.propose(an_intent())
    desk.turn(4)
    assert [is_confirmed for _, is_confirmed in desk.broker.reply_log] == [True] * 4 + [False]
    assert str(desk.record(record).state) == "REJECTED"


@pytest.mark.parametrize(("word", "arrived"), [("dropped", 0), ("lost", 1), ("not_sent", 0)])
def test_a_reply_without_an_answer_puts_the_order_in_doubt_and_evidence_ends_it(desk, word, arrived):
    desk.start()
    desk.broker.script.append("ask o163")
    desk.broker.replies.append(word)
    record = desk.propose(an_intent())
    desk.turn(10)
    now = desk.record(record)
    assert desk.broker.arrivals(record.client_order_id) == arrived
    assert str(now.state) == ("WORKING" if arrived else "NOT_PLACED")


def test_a_rehearsal_stops_at_the_socket(desk):
    desk.start()
    record = desk.propose(an_intent(mode=Mode.DRY_RUN))
    desk.turn()
    now = desk.record(record)
    assert (str(now.state), now.reason, now.send_count) == ("NOT_PLACED", "dry_run", 0)
    assert desk.calls_of(record) == [("place", "not_sent")]
    assert "place" not in desk.broker.calls


def test_an_order_past_its_validity_is_never_sent(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.move_market(NEXT_OPEN)
    desk.turn()
    assert str(desk.record(record).state) == "EXPIRED_UNSENT"
    assert "place" not in desk.broker.calls


def test_a_limit_that_the_market_has_left_behind_is_denied_at_the_last_look(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.broker.prices[record.intent.conid] = Decimal(180)
    desk.turn()
    now = desk.record(record)
    assert str(now.state) == "DENIED"
    assert "above the market at 180" in now.reason


def test_the_kill_file_holds_every_order_back_until_it_is_removed(desk):
    desk.start()
    write_kill_file(desk.directory, actor="somebody", reason="wrong prices")
    record = desk.propose(an_intent())
    desk.turn(2)
    assert str(desk.record(record).state) == "APPROVED"
    assert "wrong prices" in desk.record(record).reason
    assert "place" not in desk.broker.calls
    remove_kill_file(desk.directory)
    desk.turn()
    assert desk.broker.calls.count("place") == 1


@pytest.mark.parametrize("scope", ["global", "strategy:s1", "conid:8314", "account:{ref}"])
def test_a_kill_in_the_database_holds_back_whom_it_covers(desk, scope):
    desk.start()
    desk.whole_ledger.control("kill", scope=scope.format(ref=REF), actor="somebody", reason="stop")
    record = desk.propose(an_intent())
    desk.turn()
    assert str(desk.record(record).state) == "APPROVED"
    desk.whole_ledger.control("resume", scope=scope.format(ref=REF), actor="somebody", reason="go on")
    desk.turn()
    assert desk.broker.calls.count("place") == 1


def test_kill_cancel_cancels_what_works(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.turn(3)
    desk.whole_ledger.control("kill_cancel", scope="global", actor="somebody", reason="stop")
    desk.turn(3)
    assert str(desk.record(record).state) == "CANCELLED"
    assert desk.calls_of(record) == [("place", "ok"), ("cancel", "ok")]


def test_a_cancel_that_had_no_effect_is_asked_for_again(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.turn(3)
    real = desk.broker.cancel
    desk.broker.cancel = lambda order_id: Ambiguous("timed out", None)
    desk.whole_ledger.control("kill_cancel", scope="global", actor="somebody", reason="stop")
    desk.turn(1)
    assert str(desk.record(record).state) == "CANCEL_UNKNOWN"
    desk.broker.cancel = real
    desk.turn(8)
    assert str(desk.record(record).state) == "CANCELLED"
    assert desk.calls_of(record) == [("place", "ok"), ("cancel", "ambiguous"), ("cancel", "ok")]


def test_an_order_in_doubt_holds_its_instrument_back_and_no_other(desk):
    desk.settle_s = 60.0
    desk.start()
    desk.broker.script.append("dropped")
    first = desk.propose(an_intent(1))
    desk.turn()
    same = desk.propose(an_intent(2))
    other = desk.propose(an_intent(3, conid=272093, symbol="MSFT"))
    desk.turn(3)
    assert str(desk.record(first).state) == "UNKNOWN"
    assert str(desk.record(same).state) == "APPROVED"
    assert "order in doubt" in desk.record(same).reason
    assert str(desk.record(other).state) == "WORKING"


def test_three_orders_without_proof_stop_all_others(desk):
    desk.settle_s = 60.0
    desk.start()
    desk.broker.script.extend(["dropped"] * 3)
    for number in range(1, 5):
        desk.propose(an_intent(number, conid=1000 + number))
    desk.turn(2)
    assert desk.states() == ["UNKNOWN"] * 3 + ["APPROVED"]
    assert desk.broker.calls.count("place") == 3


def test_a_fill_that_beats_the_cancel_counts(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.turn(3)
    desk.broker.fill(record.client_order_id, 10, "201")
    desk.whole_ledger.control("kill_cancel", scope="global", actor="somebody", reason="stop")
    desk.turn(4)
    now = desk.record(record)
    assert (str(now.state), now.filled) == ("FILLED", 10)


def test_a_partial_fill_works_on_and_a_cancel_of_the_rest_ends_it(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.turn(2)
    desk.broker.fill(record.client_order_id, 3, "201.50")
    desk.turn(3)
    now = desk.record(record)
    assert (str(now.state), now.filled, now.average_price) == ("WORKING", 3, Decimal("201.5"))
    desk.broker.set_status(record.client_order_id, BrokerOrderStatus.CANCELLED, "not filled by the close")
    desk.turn(3)
    now = desk.record(record)
    assert (str(now.state), now.filled) == ("CANCELLED", 3)
    assert "not filled by the close" in now.reason


def test_the_socket_is_not_opened_when_the_process_slept_after_the_commit(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.time.step = 3.0
    with pytest.raises(Unavailable, match="between the commit and the send"):
        desk.turn()
    assert "place" not in desk.broker.calls
    assert desk.calls_of(record) == [("place", "not_sent")]
    assert (str(desk.record(record).state), desk.record(record).send_count) == ("APPROVED", 0)


def test_the_market_time_of_a_send_is_kept_with_it(desk):
    desk.move_market(desk.market.moment + timedelta(minutes=7))
    desk.start()
    record = desk.propose(an_intent())
    desk.turn()
    with desk.database.connect() as connection:
        row = connection.execute(
            "select market_at from oms.wire_call where intent_id = %s", (record.intent_id,)
        ).fetchone()
    assert row == (desk.market.moment,)

"""Silence never ends doubt: what the weighing of evidence asks for, and what does not count."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.broker import SessionStatus
from ibkr_assets.domain.ledger import CallOutcome, Evidence
from ibkr_assets.execution.evidence import Finding, weigh
from ibkr_assets_tests.execution.desk import an_intent

NOTHING = Evidence(
    last_outcome=None, last_answer="", sent_age_s=0.0, observations=0, first_observation_age_s=None,
    newest_observation_age_s=None, doubt_age_s=0.0, gateway_session=None,
)  # fmt: skip


def seen(count, first_age_s, newest_age_s, sent_age_s=1e9, **changes):
    return replace(
        NOTHING, observations=count, first_observation_age_s=first_age_s, newest_observation_age_s=newest_age_s,
        sent_age_s=sent_age_s, **changes,
    )  # fmt: skip


def test_the_first_look_counts_only_when_a_late_order_would_be_there():
    assert weigh(replace(NOTHING, sent_age_s=29.9), settle_s=30) is Finding.WAIT
    assert weigh(replace(NOTHING, sent_age_s=30.0), settle_s=30) is Finding.LOOK


def test_absence_needs_two_looks_that_far_apart():
    assert weigh(seen(1, 10, 10), settle_s=30) is Finding.WAIT
    assert weigh(seen(1, 30, 30), settle_s=30) is Finding.LOOK
    assert weigh(seen(2, 31, 2), settle_s=30) is Finding.LOOK
    assert weigh(seen(2, 31, 1), settle_s=30) is Finding.ABSENT


def test_a_refusal_needs_one_look_and_a_call_that_never_left_none():
    refused = replace(NOTHING, last_outcome=CallOutcome.REJECTED)
    assert weigh(refused, settle_s=30) is Finding.LOOK
    assert weigh(replace(refused, observations=1), settle_s=30) is Finding.REJECTED
    assert weigh(replace(NOTHING, last_outcome=CallOutcome.NOT_SENT), settle_s=30) is Finding.NOT_SENT


@given(
    doubt_age_s=st.floats(0, 1e12),
    sent_age_s=st.none() | st.floats(0, 1e12),
    outcome=st.sampled_from([None, CallOutcome.AMBIGUOUS, CallOutcome.DUPLICATE, CallOutcome.OK]),
    settle_s=st.floats(0, 1e6),
)
def test_no_time_alone_ever_ends_doubt(doubt_age_s, sent_age_s, outcome, settle_s):
    evidence = replace(NOTHING, doubt_age_s=doubt_age_s, sent_age_s=sent_age_s, last_outcome=outcome)
    assert weigh(evidence, settle_s=settle_s) in (Finding.WAIT, Finding.LOOK)


def test_an_empty_list_that_is_not_whole_is_no_absence(desk):
    desk.start()
    desk.broker.script.append("dropped")
    record = desk.propose(an_intent())
    desk.broker.has_fake_empty_list = True
    desk.turn(20)
    assert str(desk.record(record).state) == "UNKNOWN"
    desk.broker.has_fake_empty_list = False
    desk.turn(8)
    assert str(desk.record(record).state) == "NOT_PLACED"


@pytest.mark.parametrize("broken", ["is_authenticated", "is_connected"])
def test_a_look_through_a_session_that_is_not_in_order_does_not_count(desk, broken):
    desk.start()
    desk.broker.script.append("dropped")
    record = desk.propose(an_intent())
    desk.watch._send(desk.market.now())
    good: SessionStatus = desk.broker.status
    desk.broker.status = replace(good, **{broken: False})
    desk.turn(12)
    assert str(desk.record(record).state) == "UNKNOWN"
    desk.broker.status = good
    desk.turn(8)
    assert str(desk.record(record).state) == "NOT_PLACED"


def test_a_position_that_moved_speaks_against_absence(desk):
    desk.start()
    desk.broker.script.append("dropped")
    record = desk.propose(an_intent())
    desk.turn()
    desk.broker.held[record.intent.conid] = desk.broker.held.get(record.intent.conid, 0) + 10
    desk.turn(12)
    assert str(desk.record(record).state) == "UNKNOWN"


def test_evidence_is_kept_over_a_crash_loop(desk):
    """Each process lives just long enough for one look; the second one's look completes the first one's."""
    desk.settle_s = 0.05
    desk.start()
    desk.broker.script.append("dropped")
    record = desk.propose(an_intent())
    desk.turn()
    for _ in range(12):
        if str(desk.record(record).state) == "NOT_PLACED":
            break
        desk.stop()
        desk.start()
        desk.turn(2)
    assert str(desk.record(record).state) == "NOT_PLACED"
    assert desk.broker.calls.count("place") == 1


def test_an_order_that_arrives_after_it_was_proven_absent_is_taken_back_with_an_alarm(desk):
    desk.start()
    desk.broker.script.append("dropped")
    record = desk.propose(an_intent())
    desk.turn(8)
    assert str(desk.record(record).state) == "NOT_PLACED"
    from ibkr_assets_tests.execution.desk import ticket_of

    desk.broker.place(ticket_of(record))
    desk.turn(6)
    assert str(desk.record(record).state) == "WORKING"
    assert desk.breaks()["ended_order_alive"] == "nothing"


def test_an_acked_order_that_neither_list_nor_id_shows_goes_into_doubt(desk):
    desk.settle_s = 3600.0
    desk.start()
    record = desk.propose(an_intent())
    desk.turn(2)
    desk.broker.rows.clear()
    desk.turn(3)
    assert str(desk.record(record).state) == "UNKNOWN"


def test_an_order_that_the_list_has_lost_but_its_id_shows_works_on(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.turn(2)
    real = desk.broker.live_orders
    desk.broker.live_orders = lambda: replace(real(), orders=())
    desk.turn(4)
    assert str(desk.record(record).state) == "WORKING"


def test_a_rehearsal_that_a_crash_left_open_is_proven_not_sent_by_its_mode(desk):
    from ibkr_assets.domain.order import Mode

    desk.start()
    record = desk.propose(an_intent(mode=Mode.DRY_RUN))
    desk.ledger.sends.begin_send(record, epoch=desk.seat.epoch, request={}, market_at=desk.market.now())
    desk.stop()
    desk.start()
    now = desk.record(record)
    assert (str(now.state), now.reason, now.send_count) == ("NOT_PLACED", "dry_run", 0)


def test_a_question_that_a_crash_left_open_is_declined_before_anything_else_leaves(desk):
    from ibkr_assets.domain.broker import Question
    from ibkr_assets.domain.order import OrderState
    from ibkr_assets_tests.execution.desk import ticket_of

    desk.start()
    record = desk.propose(an_intent())
    call_id, sent = desk.ledger.sends.begin_send(record, epoch=desk.seat.epoch, request={}, market_at=desk.market.now())
    desk.broker.script.append("ask o163")
    question = desk.broker.place(ticket_of(record))
    assert isinstance(question, Question)
    desk.ledger.sends.record_answer(
        sent, call_id, CallOutcome.QUESTION, OrderState.QUESTION, epoch=desk.seat.epoch, http_status=200,
        answer="", question=question,
    )  # fmt: skip
    desk.stop()
    other = desk.propose(an_intent(2, conid=272093, symbol="MSFT", valid_until=record.intent.valid_until))
    desk.start()
    assert desk.broker.reply_log == [(question.reply_id, False)]
    desk.turn(6)
    assert str(desk.record(record).state) == "REJECTED"
    assert str(desk.record(other).state) == "WORKING"
    assert desk.broker.arrivals(record.client_order_id) == 0
    assert desk.market.now() < record.intent.valid_until - timedelta(hours=1)

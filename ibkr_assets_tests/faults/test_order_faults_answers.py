"""Answers to an order that are lost, late, cut or wrong: where the platform ends, and that the broker has it once."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest

from ibkr_assets.domain.broker import Ambiguous
from ibkr_assets.domain.order import OrderState
from ibkr_assets_tests.execution.desk import ticket_of
from ibkr_assets_tests.faults.registry import end_state_of
from ibkr_assets_tests.faults.trading import CONIDS, by_hand, flat_gateway, trading

__all__ = ["flat_gateway", "trading"]

S = OrderState
IN_DOUBT = ["SUBMITTING", "UNKNOWN"]


def is_adopted(trading, record):
    """In doubt, found at the broker, filled once at the open; both sides agree and nothing is left open."""
    trading.wait_for(record, S.WORKING)
    assert trading.path(record)[2:5] == [*IN_DOUBT, "WORKING"]
    assert trading.accepted()[-1:] == [record.client_order_id]
    trading.open_market()
    trading.wait_for(record, S.FILLED, filled=10)
    trading.agree()
    assert (trading.kills(), trading.breaks()) == ([], {})


def are_adopted(trading, fault_id, variants):
    """Each variant strikes an order of its own, which is in doubt and then adopted; the last one goes to its end."""
    trading.start()
    for number, variant in enumerate(variants):
        trading.gateway.arm_fault(fault_id, **variant)
        record = trading.propose(strategy_id=f"s{number}")
        trading.wait_for(record, S.WORKING)
        assert trading.path(record)[2:5] == [*IN_DOUBT, "WORKING"], variant
    is_adopted(trading, record)
    assert {r.state for r in trading.book.intents()} == {S.FILLED}
    assert len(trading.accepted()) == len(variants)


def is_not_placed(trading, record):
    """In doubt, looked for twice, and not there; both sides agree on nothing."""
    trading.wait_for(record, S.NOT_PLACED)
    assert trading.path(record)[2:5] == [*IN_DOUBT, "NOT_PLACED"]
    assert trading.accepted() == []
    trading.agree()


@end_state_of("F1")
def test_f1_a_lost_answer_is_in_doubt_and_then_adopted(trading):
    trading.gateway.arm_fault("F1")
    is_adopted(trading, trading.start().propose())


@end_state_of("F2")
def test_f2_a_request_that_never_arrived_is_not_placed(trading):
    trading.gateway.arm_fault("F2")
    is_not_placed(trading, trading.start().propose())


@end_state_of("F2")
def test_f2_a_request_that_never_arrived_may_be_sent_again_under_the_same_id(trading):
    trading.options = {"may_resend": True}
    trading.gateway.arm_fault("F2")
    record = trading.start().propose()
    trading.wait_for(record, S.WORKING)
    assert trading.calls(record) == [("place", "ambiguous"), ("place", "ok")]
    assert trading.accepted() == [record.client_order_id]
    trading.agree()


@end_state_of("F3")
def test_f3_an_order_that_arrives_before_the_proof_is_adopted(trading):
    trading.settle_s = 1.0
    trading.gateway.arm_fault("F3", late_s=20)
    record = trading.start().propose()
    trading.wait_for(record, S.UNKNOWN)
    trading.gateway.step_clock(30)
    is_adopted(trading, record)


@end_state_of("F3")
def test_f3_an_order_that_arrives_after_the_proof_is_taken_back_with_an_alarm(trading):
    trading.gateway.arm_fault("F3", late_s=60)
    record = trading.start().propose()
    trading.wait_for(record, S.NOT_PLACED)
    trading.gateway.step_clock(61)
    trading.wait_for(record, S.WORKING)
    assert trading.breaks() == {"ended_order_alive": "nothing"}
    trading.open_market()
    trading.wait_for(record, S.FILLED, filled=10)
    trading.agree()


@end_state_of("F3")
def test_f3_an_order_that_arrives_after_it_was_sent_again_is_refused_by_its_id(trading):
    trading.options = {"may_resend": True}
    trading.gateway.arm_fault("F3", late_s=60)
    record = trading.start().propose()
    trading.wait_for(record, S.WORKING)
    trading.gateway.step_clock(61)
    assert len(trading.gateway.ledger("dup_refused")) > 0
    assert trading.accepted() == [record.client_order_id]
    trading.agree()


@end_state_of("F4")
@pytest.mark.parametrize("wait_s", [0.9, 1.4])
def test_f4_an_answer_within_the_bound_is_an_answer(trading, wait_s):
    """9 s and 14 s of 15 s, at a tenth."""
    trading.order_timeout_s = 1.5
    trading.gateway.arm_fault("F4", delay_s=wait_s)
    record = trading.start().propose()
    trading.wait_for(record, S.WORKING)
    assert trading.calls(record) == [("place", "ok")]
    trading.agree()


@end_state_of("F4")
@pytest.mark.parametrize("wait_s", [0.8, 6.0])
def test_f4_an_answer_beyond_the_bound_is_doubt(trading, wait_s):
    """16 s and 120 s of 15 s, at a twentieth."""
    trading.order_timeout_s = 0.75
    trading.gateway.arm_fault("F4", delay_s=wait_s)
    is_adopted(trading, trading.start().propose())


@end_state_of("F5")
def test_f5_a_gateway_that_timed_out_after_booking(trading):
    trading.gateway.arm_fault("F5", booked=True, delay_s=0.1)
    is_adopted(trading, trading.start().propose())


@end_state_of("F5")
def test_f5_a_gateway_that_timed_out_without_booking(trading):
    trading.gateway.arm_fault("F5", booked=False, delay_s=0.1)
    is_not_placed(trading, trading.start().propose())


@end_state_of("F6")
def test_f6_a_body_that_is_cut_off_is_doubt(trading):
    are_adopted(trading, "F6", [{"cut_at": k, "ending": e} for k in (0, 1, 40) for e in ("end", "reset")])


@end_state_of("F6")
def test_f6_wherever_it_is_cut_it_proves_nothing(trading):
    ticket = ticket_of(trading.propose(quantity=1))
    whole = len(
        f'[{{"order_id":"123456789","order_status":"PreSubmitted","local_order_id":"{ticket.client_order_id}"}}]'
    )
    with contextlib.closing(trading.client()) as client:
        for cut_at in range(whole):
            trading.gateway.arm_fault("F6", cut_at=cut_at)
            answer = client.place(replace(ticket, client_order_id=f"q1-cut-{trading.evening.date()}-{cut_at}"))
            assert isinstance(answer, Ambiguous), (cut_at, answer)
            if cut_at % 10 == 9:
                trading.cancel_by_hand()


@end_state_of("F7")
def test_f7_what_is_not_json_is_doubt(trading):
    are_adopted(trading, "F7", [{"form": form} for form in ("cut", "nan", "duplicate_keys", "bom", "latin1")])


@end_state_of("F8")
@pytest.mark.parametrize("form", ["page", "redirect"])
def test_f8_a_login_page_is_doubt_and_the_session_is_looked_at_again(trading, form):
    trading.gateway.arm_fault("F8", routes=["submit"], form=form)
    record = trading.start().propose()
    is_not_placed(trading, record)
    routes = [row["route"] for row in trading.wirelog()]
    assert "auth_status" in routes[routes.index("submit") :]


@end_state_of("F9")
def test_f9_a_wrong_content_type_is_doubt(trading):
    are_adopted(trading, "F9", [{"form": "json_as_text"}, {"form": "text_as_json"}])


@end_state_of("F10")
def test_f10_an_empty_answer_is_doubt(trading):
    forms = ("empty", "204", "null", "list", "object")
    are_adopted(trading, "F10", [{"form": form, "booked": True} for form in forms])


@end_state_of("F11")
def test_f11_a_failure_in_the_shape_of_a_success_is_rejected_and_never_acknowledged(trading):
    trading.gateway.arm_fault("F11")
    record = trading.start().propose()
    trading.wait_for(record, S.REJECTED)
    assert "ACKED" not in trading.path(record)
    assert "Order could not be placed" in trading.record(record).reason
    trading.agree()


@end_state_of("F11")
def test_f11_a_failure_that_was_none_is_overturned_by_the_look_at_the_list(trading):
    trading.gateway.arm_fault("F11", booked=True)
    is_adopted(trading, trading.start().propose())


@end_state_of("F12")
def test_f12_a_refused_duplicate_says_that_the_first_one_arrived(trading):
    trading.gateway.arm_fault("F12")
    record = trading.start().propose()
    is_adopted(trading, record)
    assert trading.calls(record) == [("place", "duplicate")]


@end_state_of("F13")
def test_f13_a_gateway_that_forgot_our_ids_still_has_one_order(trading):
    trading.options = {"may_resend": True}
    trading.gateway.arm_fault("F13")
    record = trading.start().propose()
    is_adopted(trading, record)
    assert trading.calls(record) == [("place", "ambiguous")]
    # The broker would have taken it a second time: only our own belt held.
    with by_hand(trading.gateway) as api:
        again = api.place(cOID=record.client_order_id, conid=CONIDS["IBM"], price=1.0, quantity=1).json()
    assert "error" not in again


@end_state_of("F15")
@pytest.mark.parametrize("form", ["not_found", "unavailable"])
@pytest.mark.parametrize("booked", [True, False])
def test_f15_a_reply_that_found_nothing_proves_nothing(trading, form, booked):
    trading.gateway.arm_fault("F14")
    trading.gateway.arm_fault("F15", form=form, booked=booked)
    record = trading.start().propose()
    end = S.WORKING if booked else S.NOT_PLACED
    trading.wait_for(record, end)
    assert trading.path(record)[2:] == ["SUBMITTING", "QUESTION", "CONFIRMING", "UNKNOWN", str(end)]
    assert trading.accepted() == [record.client_order_id] * booked
    trading.agree()


@end_state_of("F19")
def test_f19_a_refusal_in_a_200_is_rejected_after_one_look(trading):
    trading.gateway.arm_fault("F19")
    record = trading.start().propose()
    trading.wait_for(record, S.REJECTED)
    assert trading.path(record)[2:] == [*IN_DOUBT, "REJECTED"]
    assert "We cannot accept" in trading.record(record).reason
    trading.agree()


@end_state_of("F2")
def test_doubt_that_lasts_is_told_and_then_stops_the_account_but_never_ends_by_time(trading):
    trading.settle_s = 3600.0
    trading.options = {"doubt_alarm_s": 0.1, "doubt_kill_s": 0.3}
    trading.gateway.arm_fault("F2")
    record = trading.start().propose()
    trading.wait("the kill", trading.kills)
    assert trading.breaks() == {"doubt_lasts": "conid"}
    assert trading.record(record).state is S.UNKNOWN
    assert len(trading.kills()) == 1
    trading.agree()

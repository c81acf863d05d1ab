"""Lists of orders and executions that are empty, stale, doubled or of another account: what comes of it."""

from __future__ import annotations

import pytest

from ibkr_assets.domain.order import OrderState
from ibkr_assets_tests.faults.registry import end_state_of
from ibkr_assets_tests.faults.trading import flat_gateway, trading

__all__ = ["flat_gateway", "trading"]

S = OrderState
OTHER = "DU9999999"


def is_filled(trading, record):
    trading.wait_for(record, S.FILLED, filled=10)
    assert trading.accepted() == [record.client_order_id]
    trading.agree()
    assert (trading.kills(), trading.breaks()) == ([], {})


@end_state_of("F28")
def test_f28_an_order_list_that_is_empty_and_not_whole_is_no_evidence(trading):
    trading.start()
    trading.gateway.arm_fault("F28", times=1_000)
    trading.gateway.arm_fault("F1")
    record = trading.propose()
    trading.wait("several empty lists", lambda: trading.struck("F28") > 6)
    assert trading.record(record).state is S.UNKNOWN
    trading.gateway.disarm_fault("F28")
    trading.wait_for(record, S.WORKING)
    trading.open_market()
    is_filled(trading, record)


@end_state_of("F29")
def test_f29_a_fill_that_only_the_executions_show_is_found_in_the_new_session(trading):
    trading.settle_s = 2.0
    trading.gateway.arm_fault("F1")
    trading.gateway.arm_fault("F29", working=True)
    record = trading.start().propose()
    trading.wait_for(record, S.UNKNOWN)
    trading.gateway.restart_session()
    trading.open_market()
    is_filled(trading, record)


@end_state_of("F29")
def test_f29_an_order_that_neither_list_shows_had_no_effect(trading):
    trading.gateway.arm_fault("F1")
    trading.gateway.arm_fault("F29", working=True)
    record = trading.start().propose()
    trading.wait_for(record, S.UNKNOWN)
    trading.cancel_by_hand()
    trading.gateway.restart_session()
    trading.wait_for(record, S.NOT_PLACED)
    trading.agree()


@end_state_of("F30")
def test_f30_an_empty_first_list_of_executions_is_no_evidence(trading):
    record = trading.start().propose()
    trading.wait_for(record, S.WORKING)
    trading.stop()
    trading.open_market()
    trading.gateway.arm_fault("F30", times=2)
    trading.start()
    is_filled(trading, record)


@end_state_of("F31")
def test_f31_lists_that_lag_behind_do_not_prove_an_absence_before_the_order_could_be_there(trading):
    trading.settle_s = 0.5
    trading.gateway.arm_fault("F31", lag_s=0.4)
    trading.gateway.arm_fault("F1")
    record = trading.start().propose()
    trading.wait_for(record, S.WORKING)
    assert "NOT_PLACED" not in trading.path(record)
    trading.open_market()
    is_filled(trading, record)


@end_state_of("F32")
def test_f32_states_that_go_backwards_move_nothing_back(trading):
    record = trading.start().propose()
    trading.wait_for(record, S.WORKING)
    statuses = ["Filled", "Submitted", "PendingSubmit"]
    trading.gateway.arm_fault("F32", statuses=statuses)
    trading.open_market()
    is_filled(trading, record)
    trading.wait("every state was shown", lambda: trading.struck("F32") == len(statuses))
    assert trading.path(record)[-1] == "FILLED"
    assert trading.path(record).count("FILLED") == 1


@end_state_of("F33")
@pytest.mark.parametrize("pages", [1, 3])
def test_f33_executions_again_shuffled_and_in_parts_count_once(trading, pages):
    trading.gateway.arm_fault("F33", copies=5, pages=pages)
    record = trading.start().propose()
    trading.wait_for(record, S.WORKING)
    for quantity in (2, 3, 5):
        trading.gateway.fill(coid=record.client_order_id, quantity=quantity, price=100)
    is_filled(trading, record)
    trading.wait("more lists", lambda: trading.struck("F33") > 3)
    is_filled(trading, record)


@end_state_of("F34")
def test_f34_an_execution_that_comes_before_its_order_is_adopted(trading):
    trading.settle_s = 2.0
    trading.gateway.arm_fault("F1")
    trading.gateway.arm_fault("F29", working=True)
    record = trading.start().propose()
    trading.wait_for(record, S.UNKNOWN)
    trading.gateway.arm_fault("F34")
    trading.open_market()
    trading.gateway.disarm_fault("F29")
    is_filled(trading, record)
    assert trading.path(record)[3:] == ["UNKNOWN", "FILLED"]


@end_state_of("F41")
def test_f41_an_inactive_order_holds_its_risk_until_its_cancel_has_ended_it(trading):
    trading.gateway.arm_fault("F41")
    record = trading.start().propose()
    trading.wait_for(record, S.CANCELLED)
    assert [s for s in trading.path(record)[3:] if s != "ACKED"] == ["WORKING", "CANCEL_PENDING", "CANCELLED"]
    trading.agree()


@end_state_of("F41", "F39")
def test_f41_an_inactive_order_whose_cancel_is_refused_is_over(trading):
    trading.gateway.arm_fault("F39")
    trading.gateway.arm_fault("F41", text="Order held by the exchange")
    record = trading.start().propose()
    trading.wait_for(record, S.REJECTED)
    assert "Order held by the exchange" in trading.record(record).reason


@end_state_of("F43")
def test_f43_another_account_in_the_answer_stops_the_account(trading):
    trading.gateway.arm_fault("F43", account=OTHER)
    record = trading.start().propose()
    trading.wait("the kill", trading.kills)
    assert trading.breaks() == {"other_account": "account"}
    assert OTHER not in " ".join(trading.kills())
    trading.wait_for(record, S.WORKING)
    later = trading.propose("MSFT", strategy_id="later")
    trading.wait("it is held back", lambda: "kill" in trading.record(later).reason)
    assert trading.accepted() == [record.client_order_id]
    trading.agree()


@end_state_of("F43")
def test_f43_our_order_on_another_account_in_the_list_stops_the_account(trading):
    record = trading.start().propose()
    trading.wait_for(record, S.WORKING)
    trading.gateway.arm_fault("F43", routes=["orders"], account=OTHER)
    trading.wait("the kill", trading.kills)
    assert trading.breaks() == {"other_account": "account"}
    trading.agree()


@end_state_of("F43")
def test_f43_another_account_first_in_the_list_changes_nothing_about_ours(trading):
    trading.gateway.arm_fault("F43", routes=["accounts"], account=OTHER, times=1_000)
    record = trading.start().propose()
    trading.wait_for(record, S.WORKING)
    trading.open_market()
    is_filled(trading, record)


@end_state_of("F43")
def test_f43_a_gateway_without_our_account_is_refused(trading):
    from ibkr_assets.domain.errors import ConfigurationError

    trading.gateway.arm_fault("F43", routes=["accounts"], account=OTHER, form="only", times=1_000)
    with pytest.raises(ConfigurationError, match="pinned account"):
        trading.start()

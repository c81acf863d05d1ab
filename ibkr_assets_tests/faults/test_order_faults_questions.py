"""Questions that come in chains, with unknown ids, about another order, or at the wrong moment: where they end."""

from __future__ import annotations

import pytest

from ibkr_assets.domain.order import OrderState
from ibkr_assets.execution import submit
from ibkr_assets_tests.faults.registry import end_state_of
from ibkr_assets_tests.faults.trading import flat_gateway, trading

__all__ = ["flat_gateway", "trading"]

S = OrderState


def is_declined(trading, record, reason):
    """The answer was no: the order never existed, and a person is told."""
    trading.wait_for(record, S.REJECTED)
    assert (trading.accepted(), trading.breaks()) == ([], {"question": "nothing"})
    (found,) = trading.ledger.differences.open_breaks()
    assert reason in found.detail["reason"]
    trading.agree()


@end_state_of("F14")
@pytest.mark.parametrize("chain", [1, 4])
def test_f14_a_chain_that_the_policy_knows_is_confirmed_to_its_end(trading, chain):
    trading.gateway.arm_fault("F14", chain=chain)
    record = trading.start().propose()
    trading.wait_for(record, S.WORKING)
    assert trading.calls(record) == [("place", "question"), *[("reply", "question")] * (chain - 1), ("reply", "ok")]
    assert trading.accepted() == [record.client_order_id]
    trading.agree()
    assert trading.breaks() == {}


@end_state_of("F14")
def test_f14_a_chain_of_five_is_declined(trading):
    trading.gateway.arm_fault("F14", chain=5)
    is_declined(trading, trading.start().propose(), "more than 4 questions")


@end_state_of("F14")
def test_f14_an_unknown_question_is_declined(trading):
    trading.gateway.arm_fault("F14", message_ids=["o403", "o10331"], chain=2)
    is_declined(trading, trading.start().propose(), "o10331 is not a question to confirm")


class Killed(BaseException):
    """Stands for a process that is no more."""


def work_until_killed(trading):
    trading.start()
    trading.wait("the crash", lambda: False)


@end_state_of("F16")
def test_f16_a_question_left_open_by_a_crash_is_declined(trading, monkeypatch):
    """The crash itself, by `kill -9` of a process, is in `execution.test_crashes`."""

    def die(point):
        if point == "question.asked":
            raise Killed

    trading.gateway.arm_fault("F16")
    record = trading.propose()
    with monkeypatch.context() as patched:
        patched.setattr(submit, "reach", die)
        with pytest.raises(Killed):
            work_until_killed(trading)
    assert trading.record(record).state is S.QUESTION
    trading.start()
    trading.wait_for(record, S.REJECTED)
    assert trading.calls(record) == [("place", "question"), ("reply", "rejected")]
    assert trading.accepted() == []
    trading.agree()


@end_state_of("F17")
def test_f17_a_question_made_stale_by_another_order_is_doubt(trading):
    trading.gateway.arm_fault("F14")
    trading.gateway.arm_fault("F17")
    record = trading.start().propose()
    trading.wait_for(record, S.NOT_PLACED)
    assert trading.path(record)[2:] == ["SUBMITTING", "QUESTION", "CONFIRMING", "UNKNOWN", "NOT_PLACED"]
    assert trading.accepted() == []
    trading.agree()


@end_state_of("F18")
def test_f18_a_question_about_another_quantity_is_declined(trading):
    trading.gateway.arm_fault("F18")
    is_declined(trading, trading.start().propose(), "the question is about BUY 100 IBM")

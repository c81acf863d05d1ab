"""Executions corrected and taken back, fills that nobody asked for, orders of others: what the books end as."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.order import OrderState
from ibkr_assets_tests.faults.registry import end_state_of
from ibkr_assets_tests.faults.trading import CONIDS, flat_gateway, trading

__all__ = ["flat_gateway", "trading"]

S = OrderState


def working(trading, **changes):
    record = trading.start().propose(**changes)
    trading.wait_for(record, S.WORKING)
    return record


def filled(trading):
    record = working(trading)
    trading.open_market()
    trading.wait_for(record, S.FILLED, filled=10)
    return record


def cash_agrees(trading):
    """The newest snapshot has the broker's own net asset value to the cent."""

    def is_equal():
        with trading.database.connect() as connection:
            return connection.execute(
                "select nav_platform_usd = nav_broker_usd and market_at >= %s from oms.account_snapshot "
                "order by snapshot_id desc limit 1",
                (trading.next_open,),
            ).fetchone() == (True,)

    trading.wait("the net asset values agree", is_equal)


@end_state_of("F35")
def test_f35_a_corrected_price_is_a_revision_and_the_books_follow(trading):
    record = filled(trading)
    trading.gateway.arm_fault("F35", price=100.5)
    trading.wait("the revision", lambda: "execution_revised" in trading.breaks())
    assert trading.record(record).average_price == Decimal("100.5")
    trading.agree()
    cash_agrees(trading)
    assert trading.breaks() == {"execution_revised": "nothing"}


@end_state_of("F35")
def test_f35_a_corrected_quantity_takes_the_position_with_it(trading):
    record = filled(trading)
    trading.gateway.arm_fault("F35", quantity=9)
    trading.wait_for(record, S.CANCELLED, filled=9)
    trading.agree()
    cash_agrees(trading)
    assert trading.kills() == []


@end_state_of("F36")
@pytest.mark.parametrize("form", ["vanishes", "negative"])
def test_f36_an_execution_taken_back_leaves_the_position_right_and_a_difference(trading, form):
    record = filled(trading)
    trading.gateway.arm_fault("F36", form=form)
    trading.wait_for(record, S.CANCELLED, filled=0)
    assert trading.breaks()["execution_busted"] == "nothing"
    assert "0 of 10 stand" in trading.record(record).reason
    trading.agree()
    cash_agrees(trading)
    trading.wait("nothing else is open", lambda: trading.breaks() == {"execution_busted": "nothing"})


@end_state_of("F37")
def test_f37_filled_in_part_and_then_cancelled(trading):
    record = working(trading)
    trading.gateway.arm_fault("F37", filled=3)
    trading.wait_for(record, S.CANCELLED, filled=3)
    trading.agree()
    assert (trading.kills(), trading.breaks()) == ([], {})


@end_state_of("F38")
def test_f38_the_fill_wins_over_the_cancel(trading):
    record = working(trading)
    trading.gateway.arm_fault("F38")
    withdraw(trading)
    trading.wait_for(record, S.FILLED, filled=10)
    assert "CANCEL_PENDING" in trading.path(record)
    trading.agree()


@end_state_of("F39")
@pytest.mark.parametrize("form", ["inactive", "unknown"])
def test_f39_a_refused_cancel_changes_nothing_and_evidence_decides(trading, form):
    record = working(trading)
    trading.gateway.arm_fault("F39", form=form)
    withdraw(trading)
    trading.wait("the refusal", lambda: ("cancel", "rejected") in trading.calls(record))
    assert trading.record(record).state in (S.WORKING, S.CANCEL_PENDING)
    trading.open_market()
    trading.wait_for(record, S.FILLED, filled=10)
    trading.agree()


@end_state_of("F40")
def test_f40_an_order_filled_beyond_its_quantity_stops_the_account(trading):
    record = working(trading)
    trading.gateway.arm_fault("F40")
    trading.wait_for(record, S.FILLED, filled=11)
    assert trading.kills() == [f"{record.client_order_id} filled 11 of 10"]
    assert trading.breaks() == {"over_fill": "account"}
    later = trading.propose("MSFT", strategy_id="later")
    trading.wait("it is held back", lambda: "kill" in trading.record(later).reason)
    trading.agree(violated=frozenset({"I2"}))


@end_state_of("F42")
@pytest.mark.parametrize("order_ref", [None, "tws-7"])
def test_f42_a_foreign_order_blocks_its_instrument_and_no_other(trading, order_ref):
    trading.start()
    ref = {} if order_ref is None else {"order_ref": f"{order_ref}-{trading.evening.date()}"}
    trading.gateway.arm_fault("F42", routes=["orders"], conid=CONIDS["IBM"], **ref)
    trading.wait("the difference", lambda: trading.breaks() == {"foreign_order": "conid"})
    blocked, free = trading.propose("IBM", strategy_id="blocked"), trading.propose("MSFT", strategy_id="free")
    trading.wait_for(free, S.WORKING)
    assert trading.record(blocked).state is S.APPROVED
    assert "foreign_order" in trading.record(blocked).reason
    trading.cancel_by_hand()
    trading.wait_for(blocked, S.WORKING)
    assert trading.breaks() == {}


@end_state_of("F42")
def test_f42_a_human_fill_is_in_the_books_and_blocks_its_instrument(trading):
    trading.start()
    trading.gateway.arm_fault("F42", routes=["trades"], form="fill", conid=CONIDS["IBM"], quantity=7)
    trading.wait("the difference", lambda: trading.breaks() == {"foreign_execution": "conid"})
    blocked, free = trading.propose("IBM", strategy_id="blocked"), trading.propose("MSFT", strategy_id="free")
    trading.wait_for(free, S.WORKING)
    assert trading.record(blocked).state is S.APPROVED
    trading.agree()


def withdraw(trading):
    """A person asks for every order to be cancelled."""
    ledger = PostgresLedger(trading.database)
    ledger.control("kill_cancel", scope="global", actor="test", reason="drill")

"""The books beside the broker: what explains a difference of cash, and what stays a difference."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.execution.account import MIXED, explain_cash
from ibkr_assets_tests.execution.desk import REF, an_intent, approve
from ibkr_assets_tests.fakes.broker import foreign_row

D = Decimal
cents = st.integers(1, 10**9).map(lambda n: D(n) / 100)


def explain(difference, before, now):
    events = explain_cash(D(difference), accrued_before=D(before), accrued_now=D(now))
    return None if events is None else [(event.kind, event.amount) for event in events]


def test_equal_is_no_event():
    assert explain(0, 0, 0) == []
    assert explain("0.004", 5, 5) == []


def test_dividends_owed_that_rise_are_an_accrual():
    assert explain(0, "1.00", "27.50") == [("accrual", D("26.50"))]


def test_cash_that_rises_by_what_is_owed_less_is_a_dividend():
    assert explain("26.50", "26.50", 0) == [("dividend", D("26.50"))]


@pytest.mark.parametrize(
    ("difference", "before", "now"),
    [(100, 0, 0), (-100, 0, 0), ("26.50", 0, 0), (-5, 20, 20), (30, 20, 0), (100, 20, 20)],
)
def test_any_other_difference_is_not_explained(difference, before, now):
    assert explain(difference, before, now) is None


def test_a_payment_and_a_new_dividend_between_two_looks_say_that_they_were_not_told_apart():
    events = explain_cash(D("8.50"), accrued_before=D("8.50"), accrued_now=D("26.50"))
    assert events is not None
    assert [(event.kind, event.amount, event.detail) for event in events] == [
        ("dividend", D("8.50"), MIXED),
        ("accrual", D("26.50"), MIXED),
    ]


@given(before=cents, paid=cents, new=cents)
def test_what_explains_the_cash_brings_the_books_to_the_brokers_figures(before, paid, new):
    owed = before + paid
    events = explain_cash(paid, accrued_before=owed, accrued_now=before + new)
    assert events is not None
    assert sum(event.amount for event in events if event.kind == "dividend") == paid
    accrued = owed + sum(e.amount if e.kind == "accrual" else -e.amount for e in events)
    assert accrued == before + new


def test_a_dividend_through_the_ledger_keeps_both_net_asset_values_equal(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.turn(2)
    desk.broker.fill(record.client_order_id, 10, "200")
    desk.turn(4)
    desk.broker.accrued = D("8.50")
    desk.turn(12)
    books = desk.ledger.account.books()
    assert (books.cash, books.accrued) == (D("97999"), D("8.5"))
    desk.broker.accrued, desk.broker.cash = D(0), desk.broker.cash + D("8.50")
    desk.turn(12)
    books = desk.ledger.account.books()
    assert (books.cash, books.accrued) == (D("98007.5"), 0)
    assert desk.book.net_asset_value(REF)[0] == desk.broker.cash_ledger().net_liquidation
    assert desk.breaks() == {}


def test_cash_that_nobody_can_explain_is_a_difference_and_the_books_do_not_follow(desk):
    desk.start()
    desk.broker.cash += 500
    desk.turn(30)
    assert desk.ledger.account.books().cash == 100_000
    assert desk.breaks()["cash"] == "nothing"
    desk.broker.cash -= 500
    desk.turn(30)
    assert desk.breaks() == {}


def test_a_position_that_nobody_can_explain_blocks_its_instrument_until_it_agrees_again(desk):
    desk.start()
    desk.broker.held[8314] = D(7)
    desk.turn(30)
    assert desk.breaks() == {"position": "conid", "nav": "nothing"}
    blocked = desk.propose(an_intent())
    free = desk.propose(an_intent(2, conid=272093, symbol="MSFT"))
    desk.turn(2)
    assert "open difference position" in desk.record(blocked).reason
    assert str(desk.record(free).state) == "WORKING"
    desk.broker.held[8314] = D(0)
    desk.turn(30)
    assert desk.breaks() == {}
    assert str(desk.record(blocked).state) == "WORKING"


def test_many_positions_that_nobody_can_explain_block_the_account(desk):
    desk.start()
    desk.broker.held.update({conid: D(1) for conid in range(1, 6)})
    desk.turn(30)
    assert desk.breaks()["positions"] == "account"
    record = desk.propose(an_intent())
    desk.turn(2)
    assert str(desk.record(record).state) == "APPROVED"


def test_what_the_account_held_before_is_its_opening(desk):
    desk.broker.held[8314] = D(25)
    desk.broker.cash = D("12345.67")
    desk.start()
    books = desk.ledger.account.books()
    assert books.cash == D("12345.67")
    assert {conid: holding.quantity for conid, holding in books.holdings.items()} == {8314: D(25)}
    assert desk.breaks() == {}
    desk.stop()
    desk.start()
    assert desk.ledger.account.books() == books


def test_a_foreign_order_blocks_its_instrument_while_it_works(desk):
    desk.start()
    desk.broker.rows["77"] = foreign_row("77", 8314)
    desk.turn(6)
    assert desk.breaks() == {"foreign_order": "conid"}
    del desk.broker.rows["77"]
    desk.turn(6)
    assert desk.breaks() == {}


def test_what_is_left_of_a_foreign_order_counts_into_exposure(desk):
    desk.start()
    desk.broker.rows["77"] = foreign_row("77", 8314)
    desk.turn(6)
    seen = []

    def look(intent, exposure):
        seen.append(exposure.open_buys)
        return approve(intent, exposure)

    def propose(number):
        desk.book.propose(an_intent(number), look, now=desk.market.now(), dagster_run_id=None, created_by="test")

    propose(1)
    desk.broker.rows["77"] = replace(desk.broker.rows["77"], filled=D(2))
    desk.turn(6)
    propose(2)
    assert seen == [5, 3 + 10]


def test_a_foreign_execution_is_counted_and_blocks_its_instrument(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.turn(2)
    fill = desk.broker.fill(record.client_order_id, 10, "200")
    human = replace(fill, execution_id="0000e0d5.0000ffff.01.01", client_order_id=None, broker_order_id="5")
    desk.broker.fills.append(human)
    desk.broker.cash += human.cash_change
    desk.broker.held[8314] += 10
    desk.turn(12)
    assert desk.ledger.account.books().holdings[8314].quantity == 20
    assert desk.breaks() == {"foreign_execution": "conid"}
    assert desk.record(record).filled == 10


def test_an_order_under_our_prefix_that_the_ledger_does_not_know_stops_the_account(desk):
    desk.start()
    desk.broker.rows["78"] = replace(foreign_row("78", 8314), client_order_id="q1-" + "a" * 26)
    desk.turn(6)
    assert desk.breaks() == {"order_without_intent": "account"}
    record = desk.propose(an_intent(conid=272093, symbol="MSFT"))
    desk.turn(2)
    assert str(desk.record(record).state) == "APPROVED"


def test_a_snapshot_is_taken_at_once_when_the_market_clock_is_set(desk):
    desk.start()
    later = desk.market.now() + timedelta(hours=5)
    desk.move_market(later)
    desk.turn(1, every_s=0.1)
    assert desk.book.net_asset_value(REF) == (D(100_000), later)

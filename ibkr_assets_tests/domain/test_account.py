"""Positions and cash from fills, against figures worked out by hand and identities that must hold."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.account import Fill, Position, positions_of
from ibkr_assets.domain.order import Side

WHEN = datetime(2012, 10, 2, 13, 30, tzinfo=UTC)


def fill(number: int, side: Side, quantity: int, price: str) -> Fill:
    return Fill(f"e{number}", None, "1", 8314, "IBM", side, Decimal(quantity), Decimal(price), Decimal(1), WHEN)


def test_buying_twice_averages_the_cost_and_selling_realises_against_it() -> None:
    held = positions_of([fill(1, Side.BUY, 10, "200"), fill(2, Side.BUY, 30, "204"), fill(3, Side.SELL, 15, "210")])
    # (10 x 200 + 30 x 204) / 40 = 203; 15 x (210 - 203) = 105
    assert held[8314] == Position(8314, "IBM", Decimal(25), Decimal(203), Decimal(105))


def test_a_reversal_realises_what_was_held_and_starts_at_the_new_price() -> None:
    held = positions_of([fill(1, Side.BUY, 10, "200"), fill(2, Side.SELL, 14, "190")])
    assert held[8314] == Position(8314, "IBM", Decimal(-4), Decimal(190), Decimal(-100))


def test_an_execution_counts_once_however_often_it_is_told() -> None:
    once = fill(1, Side.BUY, 10, "200")
    assert positions_of([once, once, once])[8314].quantity == 10


def test_a_buy_costs_price_and_commission_and_a_sale_brings_price_less_commission() -> None:
    assert fill(1, Side.BUY, 10, "200").cash_change == Decimal(-2001)
    assert fill(1, Side.SELL, 10, "200").cash_change == Decimal(1999)


@given(st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 500), st.integers(1, 1000)), min_size=1, max_size=30))
def test_cash_and_position_and_pnl_tell_one_story(trades: list[tuple[Side, int, int]]) -> None:
    fills = [fill(i, side, quantity, str(price)) for i, (side, quantity, price) in enumerate(trades)]
    held = positions_of(fills)[8314]
    assert held.quantity == sum(f.side.sign * f.quantity for f in fills)
    spent = sum((f.cash_change + f.commission for f in fills), Decimal(0))
    difference = spent - (held.realized_pnl - held.quantity * held.average_cost)
    assert abs(difference) < Decimal("1e-15")

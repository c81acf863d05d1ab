"""What one execution says: its money, and which execution it corrects."""

from __future__ import annotations

from decimal import Decimal

from ibkr_assets.domain.account import split_execution_id
from ibkr_assets.domain.order import Side
from ibkr_assets_tests.portfolio.fills import fill


def test_a_buy_costs_price_and_commission_and_a_sale_brings_price_less_commission() -> None:
    assert fill(1, Side.BUY, 10, "200").cash_change == Decimal(-2001)
    assert fill(1, Side.SELL, 10, "200").cash_change == Decimal(1999)


def test_an_execution_id_has_a_root_that_stays_through_corrections() -> None:
    assert split_execution_id("0000e0d5.6576fd38.01.01") == ("0000e0d5.6576fd38.01", 1)
    assert split_execution_id("0000e0d5.6576fd38.01.02") == ("0000e0d5.6576fd38.01", 2)
    assert split_execution_id("something.else.7") == ("something.else.7", 1)

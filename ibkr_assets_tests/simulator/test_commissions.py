"""Commissions against IBKR's own examples, and against cases worked out by hand from its table."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ibkr_assets.simulator.commissions import order_commission


@pytest.mark.parametrize(
    ("shares", "price", "expected"),
    [
        # The three examples on interactivebrokers.co.uk/en/pricing/commissions-stocks.php, Fixed, 2026-11-21.
        ("100", "25", "1.00"),
        ("1000", "25", "5.00"),
        ("1000", "0.25", "2.50"),
        # By hand: the minimum, above it, and the maximum of 1 % below the minimum.
        ("200", "50", "1.00"),
        ("201", "50", "1.01"),
        ("10", "671.50", "1.00"),
        ("1", "50", "0.50"),
        ("3", "5", "0.15"),
    ],
)
def test_commission_follows_the_published_table(shares: str, price: str, expected: str) -> None:
    value = Decimal(shares) * Decimal(price)
    assert order_commission(Decimal(shares), value) == Decimal(expected)

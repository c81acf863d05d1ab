"""IBKR's schedules against sums by hand and against exact arithmetic share by share."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.backtest.commissions import RATES_OF, parse_commission
from ibkr_assets.domain.errors import InputError


@pytest.mark.parametrize(
    ("spec", "shares", "price", "usd"),
    [
        ("none", 1000, 50.0, 0.0),
        ("bps:10", 1000, 50.0, 50.0),
        ("ibkr-fixed", 1000, 25.0, 5.0),
        ("ibkr-fixed", 100, 25.0, 1.0),  # the minimum
        ("ibkr-fixed", 1000, 0.25, 2.5),  # 1 % of 250
        ("ibkr-fixed", 10, 5.0, 0.5),  # 1 % of 50 is below the minimum of 1.00 and wins
        ("ibkr-fixed", 333, 25.0, 1.665),  # not rounded to the cent
        ("ibkr-tiered", 1000, 25.0, 3.5),
        ("ibkr-tiered", 50, 25.0, 0.35),
        ("ibkr-tiered", 10, 2.0, 0.2),
        ("ibkr-tiered", 400_000, 25.0, 300_000 * 0.0035 + 100_000 * 0.002),
    ],
)
def test_one_order(spec: str, shares: float, price: float, usd: float) -> None:
    assert parse_commission(spec).begin()(shares, price, 0) == pytest.approx(usd, rel=1e-12)


#: From IBKR's page: shares a month up to and including, USD a share within.
TIERS = [(300_000, "0.0035"), (3_000_000, "0.002"), (20_000_000, "0.0015"), (100_000_000, "0.001"), (10**12, "0.0005")]
ORDERS = st.lists(st.tuples(st.integers(1, 40_000_000), st.integers(1, 100_000), st.integers(0, 2)), max_size=12)


@given(ORDERS)
@settings(deadline=None)
def test_tiers_count_the_shares_of_each_month(orders: list[tuple[int, int, int]]) -> None:
    charge, done = parse_commission("ibkr-tiered").begin(), {0: 0, 1: 0, 2: 0}
    for shares, cents, month in orders:
        left, at, owed = shares, done[month], Fraction(0)
        for ceiling, rate in TIERS:
            within = min(left, max(0, ceiling - at))
            owed, left, at = owed + within * Fraction(rate), left - within, at + within
        done[month] += shares
        value = Fraction(shares * cents, 100)
        expected = min(max(owed, Fraction("0.35")), value / 100)
        assert charge(shares, cents / 100, month) == pytest.approx(float(expected), rel=1e-9)


def test_each_run_counts_its_own_shares() -> None:
    schedule = parse_commission("ibkr-tiered")
    assert schedule.begin()(300_000, 10, 0) == schedule.begin()(300_000, 10, 0) == pytest.approx(1050)


@pytest.mark.parametrize("spec", ["", "bps", "bps:x", "bps:-1", "bps:nan", "ibkr", "free:1"])
def test_what_is_no_schedule_is_named(spec: str) -> None:
    with pytest.raises(InputError, match=f"commission '{spec}': expected none, bps:N"):
        parse_commission(spec)


def test_a_schedule_says_the_day_its_rates_were_read() -> None:
    for spec in ("ibkr-fixed", "ibkr-tiered"):
        assert f"as of {RATES_OF}" in parse_commission(spec).describe()

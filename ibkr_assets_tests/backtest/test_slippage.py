"""Slippage makes both sides worse, by as much as its model says."""

from __future__ import annotations

import pytest

from ibkr_assets.backtest.formulas import fill_price
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.domain.errors import InputError


@pytest.mark.parametrize(
    ("spec", "buy", "sell"),
    [
        ("none", 100.0, 100.0),
        ("bps:5", 100.05, 99.95),
        ("spread:0.04", 100.02, 99.98),
        ("volume:0.1", 100.1, 99.9),  # a tenth of the volume: 0.1 x 0.1 squared = 0.001
    ],
)
def test_both_sides_are_worse(spec: str, buy: float, sell: float) -> None:
    model = parse_slippage(spec)
    assert fill_price(*model.number, 100.0, 1, 1000, 10_000) == pytest.approx(buy)
    assert fill_price(*model.number, 100.0, -1, 1000, 10_000) == pytest.approx(sell)
    assert model.describe()


def test_an_order_is_at_most_the_whole_volume_and_a_price_never_ends_at_zero() -> None:
    assert fill_price(*parse_slippage("volume:0.1").number, 100.0, 1, 5000, 0.0) == pytest.approx(110)
    assert fill_price(*parse_slippage("volume:0.1").number, 100.0, 1, 5000, 10.0) == pytest.approx(110)
    assert fill_price(*parse_slippage("spread:4").number, 1.0, -1, 1, 1.0) == pytest.approx(0.01)


@pytest.mark.parametrize("spec", ["", "bps", "bps:x", "bps:10000", "spread:-1", "spread:inf", "volume:1", "volume:nan"])
def test_what_is_no_model_is_named(spec: str) -> None:
    with pytest.raises(InputError, match=f"slippage '{spec}': expected none, bps:N"):
        parse_slippage(spec)

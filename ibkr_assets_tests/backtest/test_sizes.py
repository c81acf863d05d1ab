"""Sizes of openings: by hand, and those of trading by trading's own sizers."""

from __future__ import annotations

import math

import pytest

from ibkr_assets.backtest.commissions import BasisPoints
from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.sizes import Opening, parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.study import backtest
from ibkr_assets.backtest.tape import tapes_of
from ibkr_assets.domain.errors import InputError
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.fakes.tape import real_bars
from ibkr_assets_tests.features import recurrences

(TAPE,) = tapes_of(real_bars("IBM").head(120))


def opening(bar: int = 60, *, price: float = 100.0, cash: float = 50_000.0, nav: float = 80_000.0) -> Opening:
    return Opening(TAPE, bar, 1, price, cash, nav)


def test_percent_is_of_cash_at_the_fill_and_never_more_whole_shares_than_it_buys() -> None:
    assert parse_size("percent:50").shares(opening(price=33.33)) == 750  # 25,000 / 33.33 = 750.07
    assert parse_size("percent:100").shares(opening(cash=1.1, price=0.1)) == 11  # 10.999999999999998 in floats
    assert parse_size("percent:50").shares(opening(cash=-5)) == 0
    assert parse_size("fixed:7").shares(opening()) == 7


def test_the_sizers_of_trading_see_the_bar_decided_on() -> None:
    closes = TAPE.close.tolist()
    assert parse_size("notional:10000").shares(opening(60)) == math.floor(10_000 / closes[59])
    atr = recurrences.atr(TAPE.high.tolist(), TAPE.low.tolist(), closes)[59]
    assert atr is not None
    assert parse_size("atr:1@2").shares(opening(60)) == math.floor(min(800 / (2 * atr), 80_000 / closes[59]))


def test_without_a_value_of_its_feature_nothing_is_opened() -> None:
    assert parse_size("atr:1@2").shares(opening(5)) == 0
    assert parse_size("notional:10000").shares(opening(nav=-1)) == 0


def test_the_net_asset_value_is_that_of_the_close_decided_on() -> None:
    terms = Terms(100_000.0, parse_size("volatility:10"), BasisPoints(0), parse_slippage("none"))
    result = backtest(build_strategy("sma_cross", {"fast": 3, "slow": 12, "short": True}), [TAPE], terms)
    volatility = recurrences.volatility(TAPE.close.tolist())
    opened = [(t.entry_bar, t.size) for t in result.trades]
    assert len(opened) > 5
    for bar, size in opened:
        deviation, price = volatility[bar - 1], TAPE.close[bar - 1]
        assert deviation is not None
        target = 0.10 / (deviation * math.sqrt(252))
        assert size == math.floor(result.equity[bar - 1] * min(1.0, target) / price)


@pytest.mark.parametrize("spec", ["", "fixed", "fixed:0", "fixed:1.5", "percent:101", "all"])
def test_what_is_no_size_is_named(spec: str) -> None:
    with pytest.raises(InputError, match=f"size: sizing '{spec}'"):
        parse_size(spec)

"""Walking forward: each part is traded by what was known before it, and the parts make one line of equity."""

from __future__ import annotations

import numpy as np
import pytest

from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.grid import combinations, parse_grid
from ibkr_assets.backtest.metrics import compute_metrics
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.sweep import sweep
from ibkr_assets.backtest.tape import tapes_of
from ibkr_assets.backtest.walk_forward import WalkForward, walk_forward
from ibkr_assets.domain.errors import InputError
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.fakes.tape import real_bars

BARS = real_bars("AAPL").head(900)
TRIED = combinations(parse_grid(["fast=2:10:4", "slow=12:32:10", "short=true,false"]), {})
TERMS = Terms(1e5, parse_size("percent:90"), parse_commission("ibkr-fixed"), parse_slippage("bps:2"))


def walk(bars: object = BARS, kind: str = "sma_cross", folds: int = 4) -> WalkForward:
    return walk_forward(kind, TRIED, tapes_of(bars), TERMS, folds, rank_by="total_return")


def test_each_part_is_traded_by_the_set_that_was_best_before_it() -> None:
    done = walk()
    assert len(done.folds) == 4
    days = BARS["opened_at"].dt.tz_convert(None).dt.normalize().to_numpy()
    for fold in done.folds:
        before = BARS[days < np.datetime64(fold.first_day, "ns")]
        best = sweep("sma_cross", TRIED, tapes_of(before), TERMS, rank_by="total_return").rows[0]
        assert (fold.params, fold.chosen_by) == (best.params, best.metrics["total_return"])
    assert len({str(fold.params) for fold in done.folds}) > 1, "a choice that never changes proves little"
    assert [fold.first_day for fold in done.folds[1:]] == [
        days[np.searchsorted(days, np.datetime64(fold.last_day, "ns")) + 1].astype("datetime64[D]")
        for fold in done.folds[:-1]
    ]
    assert done.folds[-1].last_day == days[-1].astype("datetime64[D]")


def test_a_parts_trades_follow_its_set_and_its_equity_goes_on_from_the_part_before() -> None:
    done = walk()
    equity, cash = done.result.equity.tolist(), TERMS.cash
    assert done.result.times.size == 900 - 180
    for place, fold in enumerate(done.folds):
        part = equity[place * 180 : (place + 1) * 180]
        assert part[0] == cash, "flat at its first bar"
        assert part[-1] == fold.metrics["final_equity"]
        cash = part[-1]
        first, last = np.datetime64(fold.first_day), np.datetime64(fold.last_day)
        wanted = build_strategy("sma_cross", fold.params).directions(BARS)
        times = BARS["opened_at"].dt.tz_convert(None).to_numpy()
        of_part = [t for t in done.result.trades if first <= t.entry_time.astype("datetime64[D]") <= last]
        assert of_part
        for trade in of_part:
            bar = int(np.searchsorted(times, trade.entry_time))
            assert trade.direction == wanted[bar - 1]
    assert compute_metrics(done.result)["final_equity"] == equity[-1]


def test_nothing_in_a_part_depends_on_what_comes_after_it() -> None:
    whole = walk()
    spoilt = BARS.copy()
    later = BARS["opened_at"].dt.tz_convert(None) > np.datetime64(whole.folds[1].last_day) + np.timedelta64(1, "D")
    assert later.any()
    for name in ("open", "high", "low", "close"):
        spoilt.loc[later, name] = BARS.loc[later, name] * np.linspace(1, 9, later.sum())
    other = walk(spoilt)
    assert other.folds[:2] == whole.folds[:2]
    assert other.folds[3].metrics != whole.folds[3].metrics


def test_a_bracket_and_several_instruments_walk_too() -> None:
    bars = real_bars("IBM", "FB").groupby("symbol").head(260)
    tried = combinations(parse_grid(["fast=2:4:2", "slow=8:12:4"]), {"stop_pct": 3, "target_pct": 5})
    terms = Terms(1e5, parse_size("percent:30"), parse_commission("none"), parse_slippage("none"))
    done = walk_forward("sma_bracket", tried, tapes_of(bars), terms, 2)
    assert {trade.symbol for trade in done.result.trades} == {"IBM", "FB"}
    assert done.result.equity[0] == 1e5


def test_more_parts_than_there_are_days_for_are_refused() -> None:
    with pytest.raises(InputError, match="walk_forward 450: 900 days cannot be cut"):
        walk(folds=450)
    with pytest.raises(InputError, match="walk_forward 0"):
        walk(folds=0)

"""Figures by hand, and on real prices by another library's formulas written out."""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.lanes import ends_of_days
from ibkr_assets.backtest.metrics import CONVENTIONS, compute_metrics, daily_returns
from ibkr_assets.backtest.result import Result, Trade
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.study import backtest
from ibkr_assets.backtest.tape import tapes_of
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.fakes.tape import real_bars

DAY = np.datetime64("2020-01-01T14:30", "ns")


def result_of(equity: list[float], *pnls: float, step_minutes: int = 24 * 60) -> Result:
    times = DAY + np.arange(len(equity)) * np.timedelta64(step_minutes, "m")
    trades = [Trade("X", 1, 1.0, 0, 1, DAY, DAY, 1.0, 1.0, 0.5, pnl) for pnl in pnls]
    held = np.arange(len(equity)) % 2 == 1
    return Result(100.0, trades, [], [], times, np.array(equity), held, 300.0)


def test_by_hand() -> None:
    got = compute_metrics(result_of([100.0, 110.0, 99.0, 108.9], 5.0, -2.0, 1.0, 0.0))
    r = [0.1, -0.1, 0.1]
    assert got["final_equity"] == 108.9
    assert got["total_return"] == pytest.approx(0.089)
    assert got["cagr"] == pytest.approx(1.089 ** (252 / 3) - 1)
    assert got["volatility"] == pytest.approx(statistics.stdev(r) * math.sqrt(252))
    assert got["sharpe"] == pytest.approx(statistics.mean(r) / statistics.stdev(r) * math.sqrt(252))
    assert got["sortino"] == pytest.approx(statistics.mean(r) / math.sqrt(0.01 / 3) * math.sqrt(252))
    assert got["max_drawdown"] == pytest.approx(-0.1)
    assert got["calmar"] == pytest.approx((1.089 ** (252 / 3) - 1) / 0.1)
    assert got["value_at_risk_95"] == pytest.approx(statistics.mean(r) - 1.6448536269514722 * statistics.stdev(r))
    assert got["positive_days"] == pytest.approx(2 / 3)
    assert (got["hit_rate"], got["profit_factor"]) == (0.5, 3.0)
    assert got["exposure"] == 0.5
    assert got["turnover"] == pytest.approx(300 / 104.475 * 252 / 3)
    assert (got["trades"], got["commission"], got["not_opened"]) == (4, 2.0, 0)


def test_each_figure_has_its_convention_and_what_has_no_value_is_none() -> None:
    got = compute_metrics(result_of([100.0, 100.0]))
    assert list(got) == list(CONVENTIONS)
    assert all(CONVENTIONS.values())
    assert {name for name, value in got.items() if value is None} == {
        "sharpe", "sortino", "calmar", "hit_rate", "profit_factor", "positive_days", "volatility", "value_at_risk_95",
    }  # fmt: skip
    broke = compute_metrics(result_of([100.0, -5.0, 20.0]))
    assert broke["cagr"] is None
    assert broke["max_drawdown"] == pytest.approx(-1.05)


def test_minutes_become_days() -> None:
    minutes = result_of([100.0 + n for n in range(30)], step_minutes=60)
    returns = daily_returns(minutes)
    assert returns.equity.tolist() == [109.0, 129.0]  # 14:30 to 23:30, then the next day's 20 hours
    assert returns.values.tolist() == pytest.approx([129 / 109 - 1])


@given(st.lists(st.integers(1, 200_000), max_size=120), st.integers(0, 86_399))
def test_the_ends_of_days_are_the_last_moments_before_midnights(steps: list[int], first: int) -> None:
    seconds = np.cumsum([first, *steps])
    days = (seconds // 86_400).tolist()
    expected = [at for at, day in enumerate(days) if at + 1 == len(days) or days[at + 1] != day]
    assert ends_of_days(seconds * 1_000_000_000).tolist() == expected


def test_on_real_prices_the_figures_are_those_of_the_series_itself() -> None:
    terms = Terms(1e5, parse_size("percent:95"), parse_commission("ibkr-fixed"), parse_slippage("bps:2"))
    result = backtest(build_strategy("sma_cross", {"fast": 10, "slow": 40}), tapes_of(real_bars("MSFT")), terms)
    got = compute_metrics(result)
    equity = result.equity.tolist()
    r = [b / a - 1 for a, b in itertools.pairwise(equity)]
    peaks = [max(equity[: n + 1]) for n in range(0, len(equity), 50)]
    assert got["sharpe"] == pytest.approx(statistics.mean(r) / statistics.stdev(r) * math.sqrt(252), rel=1e-9)
    assert got["max_drawdown"] is not None
    assert got["max_drawdown"] <= min(e / p - 1 for e, p in zip(equity[::50], peaks, strict=True))
    assert got["commission"] == pytest.approx(
        sum(t.commission for t in result.trades) + sum(p.commission for p in result.open_positions)
    )
    assert compute_metrics(replace(result, trades=[]))["hit_rate"] is None

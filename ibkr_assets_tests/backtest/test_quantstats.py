"""The figures beside quantstats' of the same daily returns: 252 periods, risk-free 0, ddof 1, downside over all."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.metrics import compute_metrics
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.study import backtest
from ibkr_assets.backtest.tape import tapes_of
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.fakes.tape import real_bars

#: Our figure, and what quantstats calls it. Its exposure and profit factor are of returns, ours of bars and trades.
NAMES = {
    "sharpe": "sharpe", "sortino": "sortino", "cagr": "cagr", "volatility": "volatility",
    "max_drawdown": "max_drawdown", "calmar": "calmar", "value_at_risk_95": "value_at_risk",
    "positive_days": "win_rate", "total_return": "comp",
}  # fmt: skip
CASES: list[tuple[str, dict[str, Any]]] = [
    ("sma_cross", {"fast": 10, "slow": 30, "short": True}),
    ("rsi_reversion", {"period": 5}),
    ("donchian", {"entry": 20, "exit": 10}),
    ("sma_bracket", {"fast": 10, "slow": 30, "stop_pct": 4, "target_pct": 9}),
]


@pytest.mark.parametrize(("kind", "params"), CASES)
@pytest.mark.parametrize("symbol", ["IBM", "GOOG"])
def test_figures_are_those_of_quantstats(kind: str, params: dict[str, Any], symbol: str) -> None:
    from quantstats import stats

    terms = Terms(1e5, parse_size("percent:80"), parse_commission("ibkr-tiered"), parse_slippage("bps:3"))
    result = backtest(build_strategy(kind, params), tapes_of(real_bars(symbol)), terms)
    got = compute_metrics(result)
    returns = pd.Series(result.equity, index=pd.DatetimeIndex(result.times)).pct_change().dropna()
    for ours, theirs in NAMES.items():
        assert got[ours] == pytest.approx(float(getattr(stats, theirs)(returns)), rel=1e-9), ours

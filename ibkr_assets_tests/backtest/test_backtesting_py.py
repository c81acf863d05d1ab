"""Trade for trade against backtesting.py, over bar files of data that comes in wheels."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.study import backtest
from ibkr_assets.backtest.tape import tapes_of
from ibkr_assets.cli.main import app
from ibkr_assets.ingest.files import read_bars
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.backtest.peer import Fee, Order, Peer, data_set, trade
from ibkr_assets_tests.strategies.test_kinds import RULES

KINDS: dict[str, dict[str, Any]] = {
    "sma_cross long": {"fast": 5, "slow": 14},
    "sma_cross long/short": {"fast": 5, "slow": 14, "short": True},
    "rsi_reversion long": {"period": 6, "low": 35, "high": 60},
    "rsi_reversion long/short": {"period": 6, "low": 35, "high": 60, "short": True},
    "donchian long": {"entry": 10, "exit": 5},
    "donchian long/short": {"entry": 10, "exit": 5, "short": True},
    "sma_bracket long": {"fast": 5, "slow": 14, "stop_pct": 2, "target_pct": 4},
    "sma_bracket long/short": {"fast": 5, "slow": 14, "stop_pct": 3, "target_pct": 2.5, "short": True},
}
FEES: dict[str, Fee] = {
    "none": lambda _size, _price: 0.0,
    "bps:10": lambda size, price: abs(size) * price * 0.001,
    "ibkr-fixed": lambda size, price: min(max(abs(size) * 0.005, 1.0), abs(size) * price * 0.01),
}
#: Sizes and bars used: the library walks at 50,000 bars a second. BTCUSD is held in few coins, because the library ends
#: the run of an account that a short position has ruined, and the convention has no such end.
DATA: dict[str, tuple[tuple[str, Order], int]] = {
    "GOOG": (("percent:90", Order(percent=90)), 900),
    "AAPL": (("fixed:200", Order(shares=200)), 900),
    "EURUSD": (("percent:60", Order(percent=60)), 700),
    "BTCUSD": (("fixed:3", Order(shares=3)), 153),
}
CASH = 1_000_000.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("bars")
    paths = {name: data_set(name, directory) for name in DATA}
    for name, path in paths.items():
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[: DATA[name][1] + 1]))  # the heading and so many bars
    return paths


def peer_of(path: Path, named: str, params: dict[str, Any], order: Order, commission: str) -> Peer:
    wanted = list(RULES[named.split(maxsplit=1)[0]](read_bars(path), **params))
    bracket = (params["stop_pct"] / 100, params["target_pct"] / 100) if "stop_pct" in params else None
    terms = Order(order.shares, order.percent, bracket)
    return trade(path, wanted, terms, cash=CASH, fee=FEES[commission])


@pytest.mark.parametrize("commission", FEES)
@pytest.mark.parametrize("named", KINDS)
def test_trades_and_equity_are_those_of_backtesting_py(files: dict[str, Path], named: str, commission: str) -> None:
    params, count = KINDS[named], 0
    for name, path in files.items():
        size, order = DATA[name][0]
        terms = Terms(CASH, parse_size(size), parse_commission(commission), parse_slippage("none"))
        got = backtest(build_strategy(named.split(maxsplit=1)[0], params), tapes_of(read_bars(path)), terms)
        peer = peer_of(path, named, params, order, commission)
        ours = [(t.direction * t.size, t.entry_bar, t.exit_bar) for t in got.trades]
        assert ours == [t[:3] for t in peer.trades], name
        prices = [(t.entry_price, t.exit_price, t.commission) for t in got.trades]
        for mine, theirs in zip(prices, peer.trades, strict=True):
            assert mine == pytest.approx(theirs[3:], rel=1e-12, abs=1e-9), name
        assert got.equity.tolist() == pytest.approx(peer.equity, rel=0, abs=1e-6), name
        count += len(ours)
    assert count > 50, "too few trades to prove anything"
    sides = {trade[0] > 0 for trade in peer.trades}
    assert sides == ({True, False} if params.get("short") else {True})


@pytest.mark.parametrize(("kind", "name"), [("sma_cross long/short", "GOOG"), ("sma_bracket long", "AAPL")])
def test_the_files_of_the_command_say_the_same(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    monkeypatch.setenv("IBKR_ASSETS_DATA_DIR", str(tmp_path / "data"))
    params = [part for key, value in KINDS[kind].items() for part in ("--param", f"{key}={value}".lower())]
    command = [
        "backtest",
        kind.split(maxsplit=1)[0],
        "--bars",
        str(files[name]),
        *params,
        "--cash",
        str(CASH),
        "--no-track",
    ]
    command += ["--size", "percent:90", "--commission", "bps:10", "--out", str(tmp_path)]
    CliRunner().invoke(app, command, catch_exceptions=False, standalone_mode=False)
    peer = peer_of(files[name], kind, KINDS[kind], Order(percent=90), "bps:10")
    with (tmp_path / "trades.csv").open() as file:
        rows = list(csv.DictReader(file))
    signs = {"long": 1, "short": -1}
    columns = ("entry_bar", "exit_bar", "entry_price", "exit_price", "commission")
    got = [(signs[row["side"]] * float(row["size"]), *(float(row[column]) for column in columns)) for row in rows]
    assert [row[:3] for row in got] == [row[:3] for row in peer.trades]
    assert got == [pytest.approx(row, rel=1e-12) for row in peer.trades]
    with (tmp_path / "equity.csv").open() as file:
        equity = [float(row["equity"]) for row in csv.DictReader(file)]
    assert equity == pytest.approx(peer.equity, rel=0, abs=1e-6)

"""The files of a backtest: what they say can be computed again from each other, and the page stands alone."""

from __future__ import annotations

import csv
import html
import json
import math
import statistics
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.files import TRADE_COLUMNS, write_files
from ibkr_assets.backtest.metrics import CONVENTIONS, compute_metrics, daily_returns
from ibkr_assets.backtest.result import Result
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.study import backtest
from ibkr_assets.backtest.tape import Tape, tapes_of
from ibkr_assets.backtest.tear_sheet import draw_tear_sheet, monthly_returns, rolling_sharpe
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.fakes.tape import real_bars

CASH = 250_000.0


def run(*symbols: str) -> tuple[list[Tape], Result]:
    tapes = tapes_of(real_bars(*symbols))
    terms = Terms(CASH, parse_size("fixed:200"), parse_commission("ibkr-fixed"), parse_slippage("bps:5"))
    return tapes, backtest(build_strategy("donchian", {"entry": 20, "exit": 10, "short": True}), tapes, terms)


def test_the_equity_file_follows_from_the_trades_file_and_the_closes(tmp_path: Path) -> None:
    tapes, result = run("AAPL", "GOOG")
    write_files(tmp_path, result, compute_metrics(result), {})
    closes = {tape.symbol: tape.close.tolist() for tape in tapes}
    places = {tape.symbol: np.searchsorted(result.times, tape.times).tolist() for tape in tapes}
    expected = np.full(result.times.size, CASH)
    with (tmp_path / "trades.csv").open() as file:
        trades = list(csv.DictReader(file))
    left_open = json.loads((tmp_path / "metrics.json").read_text())["open_positions"]
    assert len(trades) > 50
    for row in trades + left_open:
        symbol, sign = row["symbol"], 1 if row.get("side", row.get("direction")) == "long" else -1
        size, entry, fees = float(row["size"]), float(row["entry_price"]), float(row["commission"])
        last = int(row["exit_bar"]) if "exit_bar" in row else len(closes[symbol])
        entry_fee = max(1.0, 0.005 * size)
        for bar in range(int(row["entry_bar"]), last):
            until = places[symbol][bar + 1] if bar + 1 < len(closes[symbol]) else result.times.size
            expected[places[symbol][bar] : until] += sign * size * (closes[symbol][bar] - entry) - entry_fee
        if "exit_bar" in row:
            assert fees == pytest.approx(2 * entry_fee)
            expected[places[symbol][last] :] += float(row["pnl_net"])
    with (tmp_path / "equity.csv").open() as file:
        equity = [float(row["equity"]) for row in csv.DictReader(file)]
    assert equity == pytest.approx(expected.tolist(), abs=1e-6)
    assert equity == result.equity.tolist(), "written so that reading gives the same bits"


def test_trades_are_in_order_of_exit_with_the_columns_of_the_contract(tmp_path: Path) -> None:
    _, result = run("IBM", "MSFT")
    write_files(tmp_path, result, compute_metrics(result), {})
    with (tmp_path / "trades.csv").open() as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == TRADE_COLUMNS == (
        "symbol", "side", "size", "entry_bar", "exit_bar", "entry_time", "exit_time", "entry_price", "exit_price",
        "commission", "pnl_net",
    )  # fmt: skip
    exits = [row[6] for row in rows[1:]]
    assert exits == sorted(exits)
    assert {row[1] for row in rows[1:]} == {"long", "short"}


def test_metrics_say_their_conventions_and_what_was_run(tmp_path: Path) -> None:
    _, result = run("IBM")
    metrics = compute_metrics(result)
    write_files(tmp_path / "new" / "place", result, metrics, {"strategy": "donchian"})
    document = json.loads((tmp_path / "new" / "place" / "metrics.json").read_text())
    assert {name: document[name] for name in CONVENTIONS} == metrics
    assert document["conventions"] == CONVENTIONS
    assert document["about"] == {"strategy": "donchian"}


class _Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_needs_nothing_from_elsewhere_and_is_the_same_each_time() -> None:
    _, result = run("FB")
    pages = [draw_tear_sheet(result, compute_metrics(result), title="<b>", about={"size": "a & b"}) for _ in range(2)]
    assert pages[0] == pages[1]
    parser = _Addresses()
    parser.feed(pages[0])
    assert parser.found == []
    assert {"script", "link", "img"} & parser.tags == set()
    assert "url(" not in pages[0]
    assert "<title>&lt;b&gt;</title>" in pages[0]
    assert "size <b>a &amp; b</b>" in pages[0]
    assert len(pages[0].encode()) < 300_000
    assert "prefers-color-scheme: dark" in pages[0]
    assert all(text in html.unescape(pages[0]) for text in CONVENTIONS.values())


def test_a_page_of_many_bars_and_trades_stays_small_and_says_them_all() -> None:
    tapes = tapes_of(real_bars())
    terms = Terms(CASH, parse_size("fixed:20"), parse_commission("none"), parse_slippage("none"))
    result = backtest(build_strategy("sma_cross", {"fast": 2, "slow": 3, "short": True}), tapes, terms)
    assert len(result.trades) > 4_000
    page = draw_tear_sheet(result, compute_metrics(result), title="many", about={})
    assert len(page.encode()) < 300_000
    assert f"{len(result.trades):,} closed" in page
    ordered = sorted(trade.pnl_net for trade in result.trades)
    assert f"{ordered[-1]:+,.2f}" in page
    assert f"{ordered[0]:+,.2f}" in page


def test_the_rolling_ratio_is_that_of_each_window() -> None:
    returns = np.random.default_rng(5).normal(0.001, 0.01, 40)
    got = rolling_sharpe(returns, 10)
    assert np.isnan(got[:9]).all()
    for end in range(10, 41):
        window = returns[end - 10 : end].tolist()
        assert got[end - 1] == pytest.approx(statistics.mean(window) / statistics.stdev(window) * math.sqrt(252))


def test_months_multiply_to_the_whole_and_a_result_without_trades_can_be_drawn() -> None:
    _, result = run("AAPL")
    months = monthly_returns(CASH, daily_returns(result))
    assert len(months) == 13 * 12 + 1
    assert float(np.prod([1 + value for value in months.values()])) == pytest.approx(result.equity[-1] / CASH)
    still = backtest(
        build_strategy("donchian", {"entry": 900, "exit": 2}), tapes_of(real_bars("IBM").head(10)),
        Terms(CASH, parse_size("fixed:1"), parse_commission("none"), parse_slippage("none")),
    )  # fmt: skip
    assert still.trades == []
    assert "none was closed" in draw_tear_sheet(still, compute_metrics(still), title="still", about={})

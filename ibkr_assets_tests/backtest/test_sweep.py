"""Sweeps: each row is the backtest of its parameters, the same rows from any number of processes, and honest words."""

from __future__ import annotations

import csv
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ibkr_assets.backtest import sweep as work
from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms, run
from ibkr_assets.backtest.files import write_sweep
from ibkr_assets.backtest.grid import combinations, parse_grid
from ibkr_assets.backtest.heat_map import draw_heat_map
from ibkr_assets.backtest.luck import Shape, deflated_sharpe
from ibkr_assets.backtest.metrics import compute_metrics
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.study import backtest, directions_of
from ibkr_assets.backtest.tape import tapes_of
from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.fakes.tape import real_bars

TAPES = tapes_of(real_bars("IBM", "FB").groupby("symbol").head(300))
TERMS = Terms(1e5, parse_size("percent:40"), parse_commission("ibkr-fixed"), parse_slippage("bps:1"))
GRID = parse_grid(["fast=2:10:4", "slow=5:20:5", "short=true,false"])
TRIED = combinations(GRID, {})


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ("a=5:20:5", [5, 10, 15, 20]),
        ("a=5:19:5", [5, 10, 15]),
        ("a=0.1:0.5:0.1", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("a=1:2:0.5", [1.0, 1.5, 2.0]),
        ("a=true,false", [True, False]),
        ("a=3", [3]),
        ("a=2,2.5,close", [2, 2.5, "close"]),
    ],
)
def test_a_grid_is_read_exactly_and_both_ends_are_in_it(spec: str, values: list[Any]) -> None:
    got = parse_grid([spec])["a"]
    assert got == values
    assert [type(value) for value in got] == [type(value) for value in values]


@pytest.mark.parametrize("spec", ["", "a", "a=", "a=1:2", "a=2:1:1", "a=1:2:0", "a=1:x:1", "a=1:inf:1"])
def test_what_is_no_grid_is_named(spec: str) -> None:
    with pytest.raises(InputError, match=r"grid"):
        parse_grid([spec])


def test_each_row_is_the_backtest_of_its_parameters_and_the_best_is_first() -> None:
    done = work.sweep("sma_cross", TRIED, TAPES, TERMS, rank_by="total_return")
    assert len(done.rows) + done.refused == len(TRIED) == 24
    assert done.refused == 6  # fast 6 with slow 5, fast 10 with slow 5 and 10
    for row in done.rows:
        alone = compute_metrics(backtest(build_strategy("sma_cross", row.params), TAPES, TERMS))
        assert row.metrics == pytest.approx(alone, rel=1e-12)
    ranked = [row.metrics["total_return"] for row in done.rows]
    assert ranked == sorted(ranked, reverse=True)  # type: ignore[type-var]
    cheap = work.sweep("sma_cross", TRIED, TAPES, TERMS, rank_by="commission")
    paid = [row.metrics["commission"] for row in cheap.rows]
    assert paid == sorted(paid)  # type: ignore[type-var]


def test_two_processes_give_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_WORTH_PROCESSES_S", 0)
    monkeypatch.setattr(work, "_MOST_AT_ONCE", 7)
    told: list[tuple[int, int]] = []
    both = work.sweep("sma_cross", TRIED, TAPES, TERMS, processes=2, progress=lambda *numbers: told.append(numbers))
    alone = work.sweep("sma_cross", TRIED, TAPES, TERMS)
    assert [row[:3] for row in both.rows] == [row[:3] for row in alone.rows]
    assert all(np.array_equal(a.trades, b.trades) for a, b in zip(both.rows, alone.rows, strict=True))
    assert told == [(7, 24), (14, 24), (21, 24), (24, 24)]


@pytest.mark.parametrize("commission", ["none", "bps:7", "ibkr-fixed", "ibkr-tiered"])
@pytest.mark.parametrize("slippage", ["none", "spread:0.1", "volume:0.9"])
@pytest.mark.parametrize("size", ["fixed:300", "fixed:1300", "percent:90"])
def test_sets_traded_together_are_as_each_traded_alone(size: str, slippage: str, commission: str) -> None:
    """Where an opening cannot be paid (1,300 shares of about USD 115), the set is traded event after event."""
    terms = Terms(1.5e5, parse_size(size), parse_commission(commission), parse_slippage(slippage))
    done = work.sweep("sma_cross", TRIED, TAPES[:1], terms)
    for row in done.rows:
        alone = run(TAPES[:1], directions_of(build_strategy("sma_cross", row.params), TAPES[:1]), terms)
        expected = [(t.direction, t.size, t.entry_bar, t.exit_bar, *t[7:]) for t in alone.trades]
        got = [tuple(trade) for trade in row.trades.tolist()]
        assert [trade[:4] for trade in got] == [trade[:4] for trade in expected]
        assert [trade[4:] for trade in got] == [pytest.approx(trade[4:], rel=1e-12, abs=1e-8) for trade in expected]
        for name, value in compute_metrics(alone).items():
            assert row.metrics[name] == (None if value is None else pytest.approx(value, rel=1e-9)), name
    if size == "fixed:1300":
        assert 0 < sum(row.metrics["not_opened"] > 0 for row in done.rows) < len(done.rows)  # type: ignore[operator]


def test_a_models_scores_are_asked_for_once_and_each_threshold_is_the_backtest_of_its_own() -> None:
    asked: list[int] = []

    class Counting:
        version, sha256 = 1, "ab" * 32

        def score(self, rows: pd.DataFrame) -> Any:
            asked.append(len(rows))
            return rows["rsi_14"].to_numpy() / 50 - 1

    def models(_name: str, _alias: str) -> Counting:
        return Counting()

    fixed = {"features": ["rsi_14"], "short": True}
    tried = combinations(parse_grid(["threshold=0:0.4:0.1"]), fixed)
    done = work.sweep("model_score", tried, TAPES, TERMS, models=models)
    assert len(asked) == len(TAPES)
    assert len({row.metrics["trades"] for row in done.rows}) > 1
    for row in done.rows:
        alone = backtest(build_strategy("model_score", row.params, models=models), TAPES, TERMS)
        assert row.metrics == pytest.approx(compute_metrics(alone), rel=1e-12)


def test_parts_one_after_the_other_are_all_sets_in_their_order() -> None:
    for chunks in (1, 3, 7, 24, 30):
        parts = [work.part_of(TRIED, chunk, chunks) for chunk in range(1, chunks + 1)]
        assert [params for part in parts for params in part] == TRIED
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_grid_of_nothing_but_refusals_and_an_unknown_kind_are_named() -> None:
    with pytest.raises(InputError, match=r"every combination is refused.*slow must be greater"):
        work.sweep("sma_cross", [{"fast": 9, "slow": 3}], TAPES, TERMS)
    with pytest.raises(ConfigurationError, match="no such kind"):
        work.sweep("smacross", TRIED, TAPES, TERMS)


def shape_of(returns: list[float]) -> Shape:
    mean, deviation = statistics.mean(returns), statistics.pstdev(returns)
    scaled = [(r - mean) / deviation for r in returns]
    skew, kurtosis = (statistics.mean(v**power for v in scaled) for power in (3, 4))
    return Shape(mean / statistics.stdev(returns), skew, kurtosis, len(returns))


def test_the_best_of_many_tries_without_skill_is_called_luck_and_real_skill_is_not() -> None:
    generator = np.random.default_rng(3)
    lucky = [shape_of(generator.normal(0, 0.01, 500).tolist()) for _ in range(200)]
    chance = deflated_sharpe(lucky)
    assert chance is not None
    assert chance < 0.8
    skilled = deflated_sharpe([*lucky, shape_of(generator.normal(0.004, 0.01, 500).tolist())])
    assert skilled is not None
    assert skilled > 0.99
    assert deflated_sharpe(lucky[:1]) is None


def test_the_deflated_ratio_is_that_of_the_papers_example() -> None:
    """Bailey and Lopez de Prado (2014), numerical example: annual ratio 2.5 over 1,250 days, 100 tries of variance 1/2,
    skewness -3, kurtosis 10: 0.9004.
    """
    best = 2.5 / math.sqrt(250)
    rest = np.random.default_rng(1).normal(0, 1, 99)
    wanted = math.sqrt(0.5 / 250)
    low, high = 0.0, 1.0  # scale the others until all 100 have the example's variance
    for _ in range(200):
        scale = (low + high) / 2
        ratios = [best, *(scale * value for value in rest.tolist())]
        low, high = (scale, high) if statistics.stdev(ratios) < wanted else (low, scale)
    shapes = [Shape(ratio, -3.0, 10.0, 1250) for ratio in ratios]
    assert max(ratios) == best
    assert deflated_sharpe(shapes) == pytest.approx(0.9004, abs=5e-4)


def test_the_file_has_a_line_a_row_and_the_picture_is_the_same_each_time(tmp_path: Path) -> None:
    done = work.sweep("sma_cross", TRIED, TAPES, TERMS)
    write_sweep(tmp_path / "new" / "sweep.csv", done)
    with (tmp_path / "new" / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == [str(n) for n in range(1, 19)]
    assert [float(row["sharpe"]) for row in rows] == [row.metrics["sharpe"] for row in done.rows]
    assert {row["short"] for row in rows} == {"True", "False"}
    pictures = [draw_heat_map(done, GRID, title="x") for _ in range(2)]
    assert pictures[0] == pictures[1]
    assert pictures[0].startswith(b"\x89PNG")


def test_one_parameter_and_a_figure_without_any_value_can_be_drawn() -> None:
    grid = parse_grid(["fast=2:10:4"])
    done = work.sweep("sma_cross", combinations(grid, {"slow": 20}), TAPES, TERMS)
    assert draw_heat_map(done, grid, title="x").startswith(b"\x89PNG")
    still = parse_grid(["fast=2:3:1", "slow=900:901:1"])
    nothing = work.sweep("sma_cross", combinations(still, {}), TAPES, TERMS)
    assert nothing.rows[0].metrics["sharpe"] is None
    assert deflated_sharpe([row.shape for row in nothing.rows]) is None
    assert draw_heat_map(nothing, still, title="x").startswith(b"\x89PNG")

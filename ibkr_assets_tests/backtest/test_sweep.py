"""Sweeps: each row is the backtest of its parameters, the same rows from any number of processes, and honest words."""

from __future__ import annotations

import csv
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ibkr_assets.backtest import sweep as work
from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.files import write_sweep
from ibkr_assets.backtest.heat_map import draw_heat_map
from ibkr_assets.backtest.metrics import compute_metrics
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.study import backtest
from ibkr_assets.backtest.tape import tapes_of
from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.fakes.tape import real_bars

TAPES = tapes_of(real_bars("IBM", "FB").groupby("symbol").head(300))
TERMS = Terms(1e5, parse_size("percent:40"), parse_commission("ibkr-fixed"), parse_slippage("bps:1"))
GRID = work.parse_grid(["fast=2:10:4", "slow=5:20:5", "short=true,false"])
TRIED = work.combinations(GRID, {})


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
    got = work.parse_grid([spec])["a"]
    assert got == values
    assert [type(value) for value in got] == [type(value) for value in values]


@pytest.mark.parametrize("spec", ["", "a", "a=", "a=1:2", "a=2:1:1", "a=1:2:0", "a=1:x:1", "a=1:inf:1"])
def test_what_is_no_grid_is_named(spec: str) -> None:
    with pytest.raises(InputError, match=r"grid"):
        work.parse_grid([spec])


def test_each_row_is_the_backtest_of_its_parameters_and_the_best_is_first() -> None:
    done = work.sweep("sma_cross", TRIED, TAPES, TERMS, rank_by="total_return")
    assert len(done.rows) + done.refused == len(TRIED) == 24
    assert done.refused == 6  # fast 6 with slow 5, fast 10 with slow 5 and 10
    for row in done.rows:
        assert row.metrics == compute_metrics(backtest(build_strategy("sma_cross", row.params), TAPES, TERMS))
    ranked = [row.metrics["total_return"] for row in done.rows]
    assert ranked == sorted(ranked, reverse=True)  # type: ignore[type-var]
    cheap = work.sweep("sma_cross", TRIED, TAPES, TERMS, rank_by="commission")
    paid = [row.metrics["commission"] for row in cheap.rows]
    assert paid == sorted(paid)  # type: ignore[type-var]


def test_two_processes_give_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_WORTH_PROCESSES", 0)
    told: list[tuple[int, int]] = []
    both = work.sweep("sma_cross", TRIED, TAPES, TERMS, processes=2, progress=lambda *numbers: told.append(numbers))
    assert both == work.sweep("sma_cross", TRIED, TAPES, TERMS)
    assert told == [(16, 24), (24, 24)]


def test_a_grid_of_nothing_but_refusals_and_an_unknown_kind_are_named() -> None:
    with pytest.raises(InputError, match=r"every combination is refused.*slow must be greater"):
        work.sweep("sma_cross", [{"fast": 9, "slow": 3}], TAPES, TERMS)
    with pytest.raises(ConfigurationError, match="no such kind"):
        work.sweep("smacross", TRIED, TAPES, TERMS)


def row_of(returns: list[float]) -> work.Row:
    mean, deviation = statistics.mean(returns), statistics.pstdev(returns)
    scaled = [(r - mean) / deviation for r in returns]
    skew, kurtosis = (statistics.mean(v**power for v in scaled) for power in (3, 4))
    return work.Row({}, {}, (mean / statistics.stdev(returns), skew, kurtosis, len(returns)))


def test_the_best_of_many_tries_without_skill_is_called_luck_and_real_skill_is_not() -> None:
    generator = np.random.default_rng(3)
    lucky = [row_of(generator.normal(0, 0.01, 500).tolist()) for _ in range(200)]
    chance = work.deflated_sharpe(lucky)
    assert chance is not None
    assert chance < 0.8
    skilled = work.deflated_sharpe([*lucky, row_of(generator.normal(0.004, 0.01, 500).tolist())])
    assert skilled is not None
    assert skilled > 0.99
    assert work.deflated_sharpe(lucky[:1]) is None


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
    rows = [work.Row({}, {}, (ratio, -3.0, 10.0, 1250)) for ratio in ratios]
    assert max(ratios) == best
    assert work.deflated_sharpe(rows) == pytest.approx(0.9004, abs=5e-4)


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
    grid = work.parse_grid(["fast=2:10:4"])
    done = work.sweep("sma_cross", work.combinations(grid, {"slow": 20}), TAPES, TERMS)
    assert draw_heat_map(done, grid, title="x").startswith(b"\x89PNG")
    still = work.parse_grid(["fast=2:3:1", "slow=900:901:1"])
    nothing = work.sweep("sma_cross", work.combinations(still, {}), TAPES, TERMS)
    assert nothing.rows[0].metrics["sharpe"] is None
    assert work.deflated_sharpe(nothing.rows) is None
    assert draw_heat_map(nothing, still, title="x").startswith(b"\x89PNG")

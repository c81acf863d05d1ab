"""Machine code and events: wherever a run is traded by the compiled kernel, it is the run of the loop of events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.backtest import compiled
from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms, run
from ibkr_assets.backtest.metrics import judge
from ibkr_assets.backtest.result import Result
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.tape import Tape
from ibkr_assets.strategies.strategy import Bracket
from ibkr_assets_tests.backtest.bars import cents, directions, tape_of

SIZES = ["fixed:10", "fixed:400", "percent:95", "percent:100"]
COMMISSIONS = ["none", "bps:12", "ibkr-fixed", "ibkr-tiered"]
SLIPPAGES = ["none", "bps:5", "spread:0.06", "volume:0.5"]


def assert_same(got: Result, expected: Result) -> None:
    for ours, theirs in ((got.trades, expected.trades), (got.open_positions, expected.open_positions)):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert one._fields == other._fields
            for value, wanted in zip(one, other, strict=True):
                assert type(value) is type(wanted)
                assert value == (pytest.approx(wanted, rel=1e-12, abs=1e-8) if type(wanted) is float else wanted)
    assert got.equity == pytest.approx(expected.equity, rel=1e-12)
    assert got.exposed.tolist() == expected.exposed.tolist()
    assert got.times.tolist() == expected.times.tolist()
    assert got.traded_usd == pytest.approx(expected.traded_usd, rel=1e-12)
    assert (got.not_opened, got.denied, got.starting_cash) == (expected.not_opened, None, expected.starting_cash)


def compiled_run(tapes: list[Tape], wanted: list[Any], terms: Terms, bracket: Bracket | None) -> Result:
    result = compiled.trade_one(tapes, wanted, terms, bracket)
    assert result is not None
    return result


BRACKETS = st.none() | st.builds(Bracket, st.sampled_from([0.01, 0.04]), st.sampled_from([0.02, 0.08]))


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_one_instrument_compiled_is_one_instrument_event_after_event(data: st.DataObject) -> None:
    rows = data.draw(cents())
    wanted = [np.array(data.draw(directions(len(rows))), dtype=np.int8)]
    size, commission, slippage = (data.draw(st.sampled_from(specs)) for specs in (SIZES, COMMISSIONS, SLIPPAGES))
    terms = Terms(
        10_000.0, parse_size(size), parse_commission(commission), parse_slippage(slippage),
        may_borrow=data.draw(st.booleans()),
    )  # fmt: skip
    bracket = data.draw(BRACKETS)
    expected = run([tape_of(rows)], wanted, terms, bracket=bracket)
    assert_same(compiled_run([tape_of(rows)], wanted, terms, bracket), expected)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_instruments_on_one_account_are_too_whatever_days_they_have(data: st.DataObject) -> None:
    tapes, wanted = [], []
    latest = data.draw(st.sampled_from([0, 6]))
    for place in range(data.draw(st.integers(2, 4))):
        rows = data.draw(cents(longest=12))
        tapes.append(tape_of(rows, "ABCD"[place], place + 1, data.draw(st.integers(0, latest))))
        wanted.append(np.array(data.draw(directions(len(rows))), dtype=np.int8))
    terms = Terms(
        data.draw(st.sampled_from([3_000.0, 60_000.0])),
        parse_size(data.draw(st.sampled_from(["fixed:20", "percent:60"]))),
        parse_commission(data.draw(st.sampled_from(COMMISSIONS))), parse_slippage("bps:5"),
        may_borrow=data.draw(st.booleans()),
    )  # fmt: skip
    bracket = data.draw(BRACKETS)
    assert_same(compiled_run(tapes, wanted, terms, bracket), run(tapes, wanted, terms, bracket=bracket))


@pytest.mark.parametrize("bars", [127, 128, 129, 130, 131, 257, 700])
def test_turns_are_found_wherever_they_lie_in_a_long_past(bars: int) -> None:
    generator = np.random.default_rng(bars)
    rows = [(price, price + 9, price - 9, price + 4) for price in generator.integers(900, 1100, bars).tolist()]
    terms = Terms(1e6, parse_size("fixed:10"), parse_commission("bps:5"), parse_slippage("none"))
    for often in (0.02, 0.5):  # seldom and nearly always
        steps = np.where(generator.random(bars) < often, generator.integers(-1, 2, bars), 0)
        wanted = [np.clip(steps.cumsum(), -1, 1).astype(np.int8)]
        assert_same(compiled_run([tape_of(rows)], wanted, terms, None), run([tape_of(rows)], wanted, terms))


def test_a_year_of_losses_all_on_one_day_is_judged_as_written() -> None:
    """Lost to the last cent and beyond: no returns, and a drawdown of more than everything."""
    result = Result(
        100.0, [], [], [], np.arange(3) * np.timedelta64(1, "D") + np.datetime64("2020-01-01", "ns"),
        np.array([100.0, 50.0, -20.0]), np.zeros(3, dtype=np.bool_), 0.0,
    )  # fmt: skip
    metrics, shape = judge(result)
    assert (metrics["max_drawdown"], metrics["sharpe"], metrics["cagr"], shape) == (
        pytest.approx(-1.2),
        None,
        None,
        None,
    )


def test_a_size_or_a_rule_that_asks_python_is_left_to_the_loop() -> None:
    tape, wanted = tape_of([(1000, 1000, 1000, 1000)] * 3), [np.array([1, 1, 1], dtype=np.int8)]
    terms = Terms(1000.0, parse_size("fixed:10"), parse_commission("none"), parse_slippage("none"))
    assert compiled.trade_one([tape], wanted, terms, None) is not None
    assert compiled.trade_one([tape], wanted, replace(terms, size=parse_size("notional:100")), None) is None


def test_trades_are_a_sequence_of_values_over_their_columns() -> None:
    tape = tape_of([(1000 + bar, 1100, 900, 1000) for bar in range(8)])
    wanted = [np.array([1, 0, 1, 0, 1, 0, 1, 1], dtype=np.int8)]
    terms = Terms(1000.0, parse_size("fixed:10"), parse_commission("none"), parse_slippage("none"))
    trades = compiled_run([tape], wanted, terms, None).trades
    listed = list(run([tape], wanted, terms).trades)
    assert (len(trades), trades == listed, trades[-1], trades[1:]) == (3, True, listed[-1], listed[1:])
    with pytest.raises(IndexError):
        trades[3]

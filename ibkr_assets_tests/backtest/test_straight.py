"""Columns and events: wherever a run is traded as columns, it is the run of the loop of events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms, run
from ibkr_assets.backtest.result import Result
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.straight import trade_straight
from ibkr_assets_tests.backtest.bars import cents, directions, tape_of

SIZES = ["fixed:10", "fixed:400", "percent:95", "percent:100"]
COMMISSIONS = ["none", "bps:12", "ibkr-fixed"]
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


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_one_instrument_as_columns_is_one_instrument_event_after_event(data: st.DataObject) -> None:
    rows = data.draw(cents())
    wanted = [np.array(data.draw(directions(len(rows))), dtype=np.int8)]
    size, commission, slippage = (data.draw(st.sampled_from(specs)) for specs in (SIZES, COMMISSIONS, SLIPPAGES))
    terms = Terms(
        10_000.0, parse_size(size), parse_commission(commission), parse_slippage(slippage),
        may_borrow=data.draw(st.booleans()),
    )  # fmt: skip
    got, expected = trade_straight([tape_of(rows)], wanted, terms), run([tape_of(rows)], wanted, terms)
    if got is None:  # then something stood in the way
        assert expected.not_opened
    else:
        assert_same(got, expected)


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_instruments_on_one_account_are_too_whatever_days_they_have(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 4))
    tapes, wanted = [], []
    for place in range(count):
        rows = data.draw(cents(longest=12))
        tapes.append(tape_of(rows, "ABCD"[place], place + 1, data.draw(st.integers(0, 6))))
        wanted.append(np.array(data.draw(directions(len(rows))), dtype=np.int8))
    terms = Terms(
        data.draw(st.sampled_from([3_000.0, 60_000.0])), parse_size("fixed:20"),
        parse_commission(data.draw(st.sampled_from(COMMISSIONS))), parse_slippage("bps:5"),
    )  # fmt: skip
    got, expected = trade_straight(tapes, wanted, terms), run(tapes, wanted, terms)
    if got is not None:
        assert_same(got, expected)
    else:
        rich = replace(terms, may_borrow=True)
        borrowed = trade_straight(tapes, wanted, rich)
        assert borrowed is not None
        assert_same(borrowed, run(tapes, wanted, rich))


def test_what_answers_to_the_past_is_left_to_the_loop() -> None:
    tape, wanted = tape_of([(1000, 1000, 1000, 1000)] * 3), [np.array([1, 1, 1], dtype=np.int8)]
    terms = Terms(1000.0, parse_size("fixed:10"), parse_commission("none"), parse_slippage("none"))
    assert trade_straight([tape], wanted, terms) is not None
    assert trade_straight([tape], wanted, replace(terms, commission=parse_commission("ibkr-tiered"))) is None
    assert trade_straight([tape], wanted, replace(terms, size=parse_size("notional:100"))) is None
    assert trade_straight([tape, tape], wanted * 2, replace(terms, size=parse_size("percent:10"))) is None
    assert trade_straight([tape], wanted, replace(terms, size=parse_size("fixed:101"))) is None, "it cannot be paid"

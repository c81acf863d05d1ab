"""Fills, cash and equity: against the convention in exact fractions, and what must hold whatever the bars are."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.backtest.commissions import BasisPoints, parse_commission
from ibkr_assets.backtest.engine import Terms, run
from ibkr_assets.backtest.result import Result
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.strategies.strategy import Bracket
from ibkr_assets_tests.backtest.bars import Cents, cents, directions, exact, tape_of
from ibkr_assets_tests.backtest.reference import Book, replay

CASH = 100_000


def ibkr_fixed(shares: Fraction, price: Fraction) -> Fraction:
    charged = max(shares * Fraction(5, 1000), Fraction(1))
    return min(charged, shares * price / 100)


COMMISSIONS = {
    "none": lambda _shares, _price: Fraction(0),
    "bps:10": lambda shares, price: shares * price / 1000,
    "ibkr-fixed": ibkr_fixed,
}
SIZES: dict[str, dict[str, int]] = {
    "fixed:100": {"shares": 100},
    "fixed:1500": {"shares": 1500},
    "percent:95": {"percent": 95},
}


def backtest(rows: list[Cents], wanted: list[int], **terms: Any) -> Result:
    bracket = terms.pop("bracket", None)
    chosen = {"cash": float(CASH), "size": "fixed:10", "commission": "none", "slippage": "none"} | terms
    parsed = Terms(
        cash=chosen["cash"], size=parse_size(chosen["size"]), commission=parse_commission(chosen["commission"]),
        slippage=parse_slippage(chosen["slippage"]), may_borrow=chosen.get("may_borrow", False),
    )  # fmt: skip
    return run([tape_of(rows)], [np.array(wanted, dtype=np.int8)], parsed, bracket=bracket)


def near(value: Fraction) -> Any:
    return pytest.approx(float(value), rel=1e-9, abs=1e-6)


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_every_fill_and_the_equity_are_those_of_exact_arithmetic(data: st.DataObject) -> None:
    rows = data.draw(cents())
    wanted = data.draw(directions(len(rows)))
    commission = data.draw(st.sampled_from(sorted(COMMISSIONS)))
    size = data.draw(st.sampled_from(sorted(SIZES)))
    slip = data.draw(st.sampled_from([0, 5]))
    bracket = data.draw(st.sampled_from([None, (2, 3), (5, 1)]))
    book = Book(Fraction(CASH), COMMISSIONS[commission], Fraction(slip, 10_000))
    stops = {} if bracket is None else {"stop": Fraction(bracket[0], 100), "target": Fraction(bracket[1], 100)}
    equity = replay(exact(rows), wanted, book, **SIZES[size], **stops)  # type: ignore[arg-type]

    got = backtest(
        rows, wanted, size=size, commission=commission, slippage=f"bps:{slip}",
        bracket=None if bracket is None else Bracket(bracket[0] / 100, bracket[1] / 100),
    )  # fmt: skip

    assert [(t.direction, t.size, t.entry_bar, t.exit_bar) for t in got.trades] == [t[:4] for t in book.trades]
    for trade, (*_, entry, leave, fees, pnl) in zip(got.trades, book.trades, strict=True):
        assert (trade.entry_price, trade.exit_price) == (near(entry), near(leave))
        assert (trade.commission, trade.pnl_net) == (near(fees), near(pnl))
    assert got.equity.tolist() == [near(value) for value in equity]
    assert [p.direction * p.size for p in got.open_positions] == ([book.held] if book.held else [])


@given(cents(), st.data())
@settings(deadline=None, max_examples=30)
def test_what_is_traded_does_not_depend_on_later_bars(rows: list[Cents], data: st.DataObject) -> None:
    wanted = data.draw(directions(len(rows)))
    bracket = data.draw(st.sampled_from([None, Bracket(0.02, 0.03)]))
    end = data.draw(st.integers(1, len(rows)))
    whole = backtest(rows, wanted, size="percent:90", commission="ibkr-fixed", bracket=bracket)
    part = backtest(rows[:end], wanted[:end], size="percent:90", commission="ibkr-fixed", bracket=bracket)
    assert part.trades == [trade for trade in whole.trades if trade.exit_bar < end]
    assert part.equity.tolist() == pytest.approx(whole.equity[:end].tolist(), rel=1e-12)


@given(cents(), st.data())
@settings(deadline=None, max_examples=30)
def test_nothing_is_gained_or_lost_but_by_trades_fees_and_what_is_held(rows: list[Cents], data: st.DataObject) -> None:
    got = backtest(rows, data.draw(directions(len(rows))), commission="bps:7", slippage="spread:0.04")
    held = sum(p.direction * p.size * (rows[-1][3] / 100 - p.entry_price) - p.commission for p in got.open_positions)
    assert got.equity[-1] == pytest.approx(CASH + sum(t.pnl_net for t in got.trades) + held, rel=1e-12)
    for trade in got.trades:
        gross = trade.direction * trade.size * (trade.exit_price - trade.entry_price)
        assert trade.pnl_net == pytest.approx(gross - trade.commission, abs=1e-9)


FLAT = (1000, 1000, 1000, 1000)


def test_decided_at_a_close_filled_at_the_next_open_and_never_after_the_last_bar() -> None:
    rows = [FLAT, (1100, 1200, 1050, 1150), (1300, 1400, 1250, 1350), FLAT]
    got = backtest(rows, [1, 0, 0, 1])
    (trade,) = got.trades
    assert (trade.entry_bar, trade.entry_price, trade.exit_bar, trade.exit_price) == (1, 11.0, 2, 13.0)
    assert got.open_positions == []
    assert got.equity.tolist() == [100_000, 100_005, 100_020, 100_020]


def test_a_reversal_is_two_orders_at_one_open_each_with_its_commission() -> None:
    got = backtest([FLAT] * 4, [1, -1, -1, -1], commission="ibkr-fixed", size="fixed:500")
    (trade,) = got.trades
    (short,) = got.open_positions
    assert (trade.exit_bar, short.entry_bar, short.direction) == (2, 2, -1)
    assert (trade.commission, short.commission) == (5.0, 2.5)
    assert got.equity[-1] == 100_000 - 7.5


@pytest.mark.parametrize(
    ("bar", "price", "why"),
    [
        ((1000, 1070, 940, 1000), 9.5, "both are touched: the stop comes first"),
        ((930, 990, 900, 950), 9.3, "through the stop by a gap: at the open"),
        ((1080, 1100, 1000, 1050), 10.8, "through the target by a gap: at the open"),
        ((1000, 1060, 960, 1000), 10.6, "the target alone"),
        ((1000, 1000, 950, 1000), 9.5, "the stop is just touched"),
    ],
)
def test_stop_and_target_inside_a_bar(bar: Cents, price: float, why: str) -> None:
    rows = [FLAT, FLAT, bar, FLAT, FLAT, FLAT]
    got = backtest(rows, [1, 1, 1, 1, 1, 1], bracket=Bracket(0.05, 0.06))
    (trade,) = got.trades
    assert (trade.exit_bar, trade.exit_price) == (2, pytest.approx(price)), why
    assert got.open_positions == [], "no new opening before the direction has changed"


def test_a_bracket_works_in_the_bar_of_its_entry_and_anew_after_another_direction() -> None:
    rows = [FLAT, (1000, 1000, 900, 1000), FLAT, FLAT, (1000, 1000, 940, 1000), FLAT]
    got = backtest(rows, [1, 1, 0, 1, 1, 1], bracket=Bracket(0.05, 0.06))
    assert [(t.entry_bar, t.exit_bar, t.exit_price) for t in got.trades] == [(1, 1, 9.5), (4, 4, 9.5)]


def test_an_opening_that_cannot_be_paid_waits_and_is_told_once() -> None:
    rows = [FLAT, (20_000, 20_000, 20_000, 20_000), (20_000, 20_000, 20_000, 20_000), (5000, 5000, 5000, 5000), FLAT]
    got = backtest(rows, [1, 1, 1, 1, 1], size="fixed:1000")
    assert [(n.bar, n.reason) for n in got.not_opened] == [
        (1, "1000 shares at 200 are worth more than the free cash of 100000.00")
    ]
    assert [p.entry_bar for p in got.open_positions] == [3]
    borrowed = backtest(rows, [1, 1, 1, 1, 1], size="fixed:1000", may_borrow=True)
    assert [p.entry_bar for p in borrowed.open_positions] == [1]
    assert borrowed.equity[1] == 100_000


def test_shares_are_floored_at_the_open_of_the_fill() -> None:
    got = backtest([FLAT, (3333, 3400, 3300, 3350), FLAT], [1, 1, 1], size="percent:95")
    assert [p.size for p in got.open_positions] == [2850]  # 95,000 / 33.33 = 2,850.3


def test_two_instruments_share_one_account_and_each_keeps_its_own_bars() -> None:
    early = tape_of([FLAT] * 6, "AAA", 1)
    late = tape_of(
        [(2000, 2000, 2000, 2000), (2000, 2200, 2000, 2200), (2200, 2400, 2200, 2400)], "BBB", 2, first_day=3
    )
    terms = Terms(float(CASH), parse_size("percent:50"), BasisPoints(0), parse_slippage("none"))
    got = run([early, late], [np.array([1, 1, 1, 1, 0, 0], np.int8), np.array([1, 1, 1], np.int8)], terms)
    (trade,) = got.trades
    assert (trade.symbol, trade.size, trade.entry_bar, trade.exit_bar) == ("AAA", 5000, 1, 5)
    (held,) = got.open_positions
    assert (held.symbol, held.size, held.entry_bar) == ("BBB", 1250, 1)  # half of the 50,000 left, at 20
    assert got.equity.tolist() == [CASH, CASH, CASH, CASH, CASH + 2500, CASH + 5000]
    assert got.exposed.tolist() == [False, True, True, True, True, True]


def test_what_a_sale_makes_free_at_an_open_buys_at_the_same_open() -> None:
    first, second = tape_of([FLAT] * 4, "AAA", 1), tape_of([FLAT] * 4, "BBB", 2)
    terms = Terms(float(CASH), parse_size("percent:100"), BasisPoints(0), parse_slippage("none"))
    got = run([first, second], [np.array([0, 1, 1, 1], np.int8), np.array([1, 0, 0, 0], np.int8)], terms)
    assert [(t.symbol, t.exit_bar) for t in got.trades] == [("BBB", 2)]
    assert [(p.symbol, p.entry_bar, p.size) for p in got.open_positions] == [("AAA", 2, 10_000)]

"""Results by position, strategy and day: they add up, and what trades do not explain is shown as such."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.account import Fill
from ibkr_assets.domain.order import Side
from ibkr_assets.portfolio.statement import (
    NOBODY,
    AccountHistory,
    SharesMoved,
    Valuation,
    results_by_position,
    results_by_strategy,
    results_of_days,
    sum_up,
)
from ibkr_assets_tests.portfolio.fills import SYMBOLS, TRADES, WHEN, fill

D = Decimal
DAY = timedelta(days=1)
MARKS = {8314: D("211.5"), 272093: D(29)}


def valued(days: int, nav: str | Decimal, price: str | None = None, *, paid_in: int = 0, day: date | None = None):
    marks = {} if price is None else {8314: D(price)}
    return Valuation(WHEN + days * DAY, D(nav), D(paid_in), marks, day)


def test_days_come_out_as_by_hand_and_a_dividend_is_no_result_of_trades():
    first, second = date(2012, 10, 3), date(2012, 10, 4)
    history = AccountHistory(
        executions=[
            ("s1", replace(fill(1, Side.BUY, 10, "200"), executed_at=WHEN + timedelta(hours=1))),
            ("s1", replace(fill(2, Side.SELL, 4, "210"), executed_at=WHEN + DAY + timedelta(hours=1))),
        ],
        moved=[],
        valuations=[
            valued(0, 10_000),
            valued(1, 10_049, "205", day=first),  # -1 commission, +50
            valued(2, 11_101, "207", day=second, paid_in=1000),  # +40 and -20 of it before, 6 x 2, -1, and 21 more
            valued(3, 11_095, "206"),
        ],
    )
    rows = results_of_days(history)
    assert [(row.day, row.nav_change, row.paid_in) for row in rows] == [
        (first, 49, 0),
        (second, 52, 1000),
        (None, -6, 0),
    ]
    assert [(row.realized, row.unrealized_change, row.commissions, row.total, row.other) for row in rows] == [
        (0, 50, 1, 49, 0),
        (40, -8, 1, 31, 21),
        (0, -6, 0, -6, 0),
    ]
    totals = sum_up(history)
    assert (totals.total, totals.other, totals.paid_in) == (74, 21, 1000)


def test_what_has_no_price_leaves_the_result_open():
    history = AccountHistory([("s1", fill(1, Side.BUY, 10, "200"))], [], [valued(0, 10_000)])
    (held,) = results_by_position(history)
    assert (held.quantity, held.price, held.unrealized, held.total) == (10, None, None, None)
    assert (sum_up(history).total, sum_up(history).other) == (None, None)


@given(TRADES, st.randoms(use_true_random=False), st.booleans())
def test_strategies_together_have_what_the_account_has(fills: list[Fill], chance, has_split: bool):
    owned = [(chance.choice(["a", "b", NOBODY]), one) for one in fills]
    valuations = [Valuation(WHEN, D(0), D(0), {}), Valuation(WHEN + 9 * DAY, D(0), D(0), MARKS)]
    before = results_by_position(AccountHistory(owned, [], valuations))
    moved = [
        SharesMoved(row.conid, row.symbol, WHEN + 8 * DAY, row.quantity // 2, split=(3, 2))
        for row in before
        if has_split and row.quantity > 0
    ]
    history = AccountHistory(owned, moved, valuations)
    together, apart = results_by_position(history), results_by_strategy(history)
    for conid in SYMBOLS:
        whole = [row for row in together if row.conid == conid]
        parts = [row for row in apart if row.conid == conid]
        for name in ("quantity", "commissions"):
            assert sum(getattr(row, name) for row in whole) == sum(getattr(row, name) for row in parts)
        assert all(row.quantity == int(row.quantity) for row in parts if row.owner != NOBODY)
        totals = [sum((row.total or D(0) for row in rows), D(0)) for rows in (whole, parts)]
        assert abs(totals[0] - totals[1]) < D("0.000001")

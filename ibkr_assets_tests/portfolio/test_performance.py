"""Results by day and net asset value: by hand, and as sums that must come out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given

from ibkr_assets.domain.account import Fill
from ibkr_assets.domain.errors import DataError
from ibkr_assets.domain.order import Side
from ibkr_assets.portfolio.performance import (
    DayResult,
    net_asset_value,
    results_by_day,
)
from ibkr_assets.portfolio.positions import Opening, Split, positions_of
from ibkr_assets_tests.portfolio.fills import SYMBOLS, TRADES, WHEN, fill

BUY, SELL = Side.BUY, Side.SELL
TUESDAY, WEDNESDAY, THURSDAY = date(2012, 10, 2), date(2012, 10, 3), date(2012, 10, 4)
DAY = timedelta(days=1)


def utc_day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def marks(*prices: str) -> dict[date, dict[int, Decimal]]:
    return {TUESDAY + n * DAY: {8314: Decimal(price)} for n, price in enumerate(prices)}


def result(day: date, *figures: str) -> DayResult:
    return DayResult(day, *(Decimal(figure) for figure in figures))


def test_each_day_has_what_it_realised_paid_and_gained() -> None:
    trades = [fill(1, BUY, 10, "200"), fill(2, SELL, 4, "206", at=WHEN + DAY), fill(3, SELL, 6, "190", at=WHEN + DAY)]
    assert results_by_day(trades, marks("205", "210", "300"), utc_day) == [
        result(TUESDAY, "0", "1", "50", "49"),
        result(WEDNESDAY, "-36", "2", "0", "-88"),  # 24 - 60 realised, 2 paid, and Tuesday's 50 gone
        result(THURSDAY, "0", "0", "0", "0"),
    ]


def test_a_split_before_the_opening_is_no_result() -> None:
    split = Split(8314, WHEN + DAY - timedelta(hours=2), 2, 1)
    days = results_by_day([fill(1, BUY, 10, "200")], marks("210", "105"), utc_day, [split])
    assert [day.total for day in days] == [99, 0]


def test_shares_from_before_gain_from_their_opening_price_on() -> None:
    opening = Opening(8314, "IBM", WHEN, Decimal(-10), Decimal(200))
    assert results_by_day([], marks("190"), utc_day, [opening]) == [result(TUESDAY, "0", "0", "100", "100")]


@given(TRADES)
def test_all_days_together_are_cash_and_what_is_held_at_the_end(fills: list[Fill]) -> None:
    prices = {(WHEN + n * DAY).date(): {conid: Decimal(n + 1) * Decimal("7.13") for conid in SYMBOLS} for n in range(4)}
    days = results_by_day(fills, prices, utc_day)
    last = prices[days[-1].day]
    held = positions_of(fills).values()
    cash = sum((one.cash_change for one in fills), Decimal(0))
    assert sum(day.total for day in days) == net_asset_value(cash, held, last)
    assert sum(day.commissions for day in days) == sum(one.commission for one in fills)
    assert sum(day.realized for day in days) == sum(position.realized for position in held)


def test_a_day_or_a_price_that_is_missing_is_an_error() -> None:
    bought = [fill(1, BUY, 10, "200")]
    with pytest.raises(DataError, match="marks: none of 2012-10-02"):
        results_by_day(bought, {WEDNESDAY: {8314: Decimal(1)}}, utc_day)
    with pytest.raises(DataError, match=r"price of IBM \(conid 8314\): must be a number, there is none"):
        results_by_day(bought, {TUESDAY: {}}, utc_day)
    for bad in ("NaN", "Infinity", "-1"):
        with pytest.raises(DataError, match=f"price of IBM .* got {bad}"):
            net_asset_value(Decimal(0), positions_of(bought).values(), {8314: Decimal(bad)})


def test_what_is_closed_needs_no_price() -> None:
    closed = positions_of([fill(1, BUY, 10, "200"), fill(2, SELL, 10, "200")])
    assert net_asset_value(Decimal(98), closed.values(), {}) == 98

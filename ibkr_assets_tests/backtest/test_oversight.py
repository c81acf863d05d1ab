"""Openings of the past keep the rules of live orders: what is opened keeps each limit, what is denied breaks it."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms, run
from ibkr_assets.backtest.files import write_files
from ibkr_assets.backtest.oversight import HEARD, WINDOW, Oversight
from ibkr_assets.backtest.result import Result
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.tape import Tape, tapes_of
from ibkr_assets.market.settlement import cycle_days
from ibkr_assets.risk.limits import Limits
from ibkr_assets.risk.rules import RULES
from ibkr_assets_tests.backtest.bars import Cents, cents, directions, tape_of

CASH = 100_000.0
MUCH = Decimal(10**12)
#: Nothing is denied by these but what has no number.
OPEN = Limits(
    allowed_symbols=frozenset({"XYZ", "ABC"}), max_order_value_usd=MUCH, max_order_nav_fraction=MUCH,
    max_position_nav_fraction=MUCH, price_collar_fraction=MUCH, price_collar_atr=MUCH, may_short=True,
    max_order_shares=MUCH, max_order_volume_fraction=MUCH, max_order_recent_volume_fraction=MUCH,
    max_gross_nav_fraction=MUCH, max_net_nav_fraction=MUCH,
    max_sector_nav_fraction=MUCH, max_daily_notional_nav_fraction=MUCH, max_repeats_per_day=10**9,
    max_orders_per_day=10**9, max_orders_per_day_and_instrument=10**9, day_loss_disarm_fraction=MUCH,
    day_loss_kill_fraction=MUCH, drawdown_disarm_fraction=MUCH, cash_reserve_fraction=Decimal(0),
)  # fmt: skip
#: Bars before the first decision, so that averages are known.
QUIET: list[Cents] = [(5000, 5050, 4950, 5000)] * (WINDOW + 1)


def held_to(**changes: Any) -> Limits:
    return replace(OPEN, **changes)


def backtest(
    tapes: list[Tape], wanted: list[list[int]], limits: Limits | None, *, size: str = "fixed:100", borrow: bool = True
) -> Result:
    terms = Terms(
        CASH, parse_size(size), parse_commission("none"), parse_slippage("none"), may_borrow=borrow,
        oversight=None if limits is None else Oversight(limits),
    )  # fmt: skip
    return run(tapes, [np.array(way, dtype=np.int8) for way in wanted], terms)


def after_quiet(rows: list[Cents], wanted: list[int]) -> tuple[list[Tape], list[list[int]]]:
    return [tape_of([*QUIET, *rows])], [[0] * len(QUIET) + wanted]


def openings(result: Result) -> list[tuple[int, float, float]]:
    """Bar, size and price of every opening, whether it was closed or not."""
    made = [(t.entry_bar, t.size, t.entry_price) for t in result.trades]
    return sorted(made + [(p.entry_bar, p.size, p.entry_price) for p in result.open_positions])


def codes(result: Result) -> Counter[str]:
    return Counter(one.code for one in result.denied or ())


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_limits_that_nothing_breaks_change_nothing(data: st.DataObject) -> None:
    rows = data.draw(cents())
    tapes, wanted = after_quiet(rows, data.draw(directions(len(rows))))
    free, reviewed = backtest(tapes, wanted, None), backtest(tapes, wanted, OPEN, borrow=True)
    # which the rules ask for and a run that may borrow does not
    assert set(codes(reviewed)) <= {"cash", "settled_cash"}
    if not reviewed.denied:
        assert (reviewed.trades, reviewed.equity.tolist()) == (free.trades, free.equity.tolist())
    assert free.denied is None


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_what_is_opened_keeps_the_position_limit_and_what_is_denied_breaks_it(data: st.DataObject) -> None:
    rows = data.draw(cents())
    tapes, wanted = after_quiet(rows, data.draw(directions(len(rows), lowest=0)))
    fraction = data.draw(st.sampled_from([2, 4, 5, 6, 10]))
    limits = held_to(max_position_nav_fraction=Decimal(fraction) / 100)
    result = backtest(tapes, wanted, limits)
    assert set(codes(result)) <= {"position"}
    tape = tapes[0]

    def worst(bar: int, shares: float) -> float:
        return shares * max(tape.open[bar], tape.close[bar - 1])

    def allowed(bar: int) -> float:
        return float(result.equity[bar - 1]) * fraction / 100

    for bar, shares, _ in openings(result):
        assert worst(bar, shares) <= allowed(bar) * (1 + 1e-12)
    for one in result.denied or ():
        assert worst(one.bar, one.size) > allowed(one.bar) * (1 - 1e-12)


def test_an_opening_that_is_denied_is_wanted_again_at_the_next_open() -> None:
    tapes, wanted = after_quiet(
        [(5000, 5000, 5000, 5000), (5600, 5600, 5000, 5000), (5000, 5000, 5000, 5000)], [1, 1, 1]
    )
    result = backtest(tapes, wanted, held_to(price_collar_fraction=Decimal("0.05")))
    assert [(one.bar, one.code) for one in result.denied or ()] == [(len(QUIET) + 1, "price_collar")]
    assert [bar for bar, _, _ in openings(result)] == [len(QUIET) + 2]


def test_an_open_that_is_better_than_decided_is_within_every_collar() -> None:
    tapes, wanted = after_quiet([(5000, 5000, 5000, 5000), (4000, 5000, 4000, 5000)], [1, 1])
    assert not backtest(tapes, wanted, held_to(price_collar_fraction=Decimal("0.01"))).denied


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"allowed_symbols": frozenset({"ABC"})}, "allow_list"),
        ({"max_order_value_usd": Decimal(4999)}, "order_value"),
        ({"max_order_nav_fraction": Decimal("0.0499")}, "order_value"),
        ({"max_order_shares": Decimal(99)}, "order_size"),
        ({"max_order_volume_fraction": Decimal("0.000099")}, "order_size"),
        ({"max_gross_nav_fraction": Decimal("0.0499")}, "gross"),
        ({"max_net_nav_fraction": Decimal("0.0499")}, "net"),
        ({"max_sector_nav_fraction": Decimal("0.0499")}, "sector"),
        ({"max_daily_notional_nav_fraction": Decimal("0.0499")}, "daily_notional"),
        ({"max_orders_per_day": 0}, "order_count"),
        ({"cash_reserve_fraction": Decimal(20)}, "cash"),
    ],
)
def test_100_shares_at_50_are_denied_by_the_limit_that_is_just_too_small(change: dict[str, Any], code: str) -> None:
    tapes, wanted = after_quiet([(5000, 5000, 5000, 5000)] * 2, [1, 1])
    assert codes(backtest(tapes, wanted, held_to(**change))) == {code: 1}


def test_shorts_are_denied_where_they_are_not_allowed_and_sales_of_what_is_held_are_not() -> None:
    tapes, wanted = after_quiet([(5000, 5000, 5000, 5000)] * 6, [1, 1, -1, -1, 0, 0])
    result = backtest(tapes, wanted, held_to(may_short=False))
    assert codes(result) == {"no_short": 2}
    assert [(t.direction, t.entry_bar, t.exit_bar) for t in result.trades] == [(1, len(QUIET) + 1, len(QUIET) + 3)]


def test_what_the_others_are_worth_counts() -> None:
    rows = [*QUIET, *[(5000, 5000, 5000, 5000)] * 3]
    tapes = [tape_of(rows), tape_of(rows, "ABC", 2)]
    wanted = [[0] * len(QUIET) + way for way in ([1, 1, 1], [0, 1, 1])]
    assert codes(backtest(tapes, wanted, held_to(max_gross_nav_fraction=Decimal("0.1")))) == {}
    assert codes(backtest(tapes, wanted, held_to(max_gross_nav_fraction=Decimal("0.0999")))) == {"gross": 1}
    sectors = {"max_sector_nav_fraction": Decimal("0.0999"), "sectors": {"XYZ": "a", "ABC": "b"}}
    assert codes(backtest(tapes, wanted, held_to(**sectors))) == {}
    assert codes(backtest(tapes, wanted, held_to(**(sectors | {"sectors": {"XYZ": "a", "ABC": "a"}})))) == {"sector": 1}


def test_a_fall_from_the_highest_value_ends_new_risk() -> None:
    rows = [(5000, 5000, 5000, 5000)] * 2 + [(4000, 4000, 4000, 4000)] * 6
    tapes, wanted = after_quiet(rows, [1, 1, 0, 0, 1, 1, 1, 1])
    fell = 100 * 10 / CASH  # a hundred shares from 50 to 40
    kept = held_to(drawdown_disarm_fraction=Decimal(repr(fell + 1e-9)))
    assert codes(backtest(tapes, wanted, kept)) == {}
    broken = held_to(drawdown_disarm_fraction=Decimal(repr(fell)))
    assert codes(backtest(tapes, wanted, broken)) == {"loss": 3}


def minutes(prices: list[int], start: datetime, every: str = "30min") -> Tape:
    times = pd.date_range(start, periods=len(prices), freq=every)
    frame = pd.DataFrame({"conid": 1, "symbol": "XYZ", "opened_at": times} | dict.fromkeys(
        ("open", "high", "low", "close"), np.array(prices, dtype=float)) | {"volume": 1e6})  # fmt: skip
    (tape,) = tapes_of(frame)
    return tape


def test_orders_and_losses_are_counted_by_days_of_new_york() -> None:
    before = datetime(2020, 1, 2, 5, tzinfo=UTC) - timedelta(minutes=30) * len(QUIET)  # midnight of New York after it
    ways = [1, 0, 1, 0, 1, 0, 1]
    tape = minutes([50] * (len(QUIET) + len(ways) + 1), before - timedelta(minutes=120))
    wanted = [[0] * len(QUIET) + [*ways, 0]]
    # Fills at bars 1 to 8 after the quiet ones, three before midnight and the others after it.
    result = backtest([tape], wanted, held_to(max_orders_per_day=2))
    assert [one.bar - len(QUIET) for one in result.denied or ()] == [3, 7]
    repeated = backtest([tape], wanted, held_to(max_repeats_per_day=1))
    assert [one.bar - len(QUIET) for one in repeated.denied or ()] == [3, 7]
    prices = [50] * (len(QUIET) + 5) + [40] * 4
    falling = minutes(prices, before - timedelta(minutes=30))
    limits = held_to(day_loss_disarm_fraction=Decimal("0.01"), day_loss_kill_fraction=Decimal("0.02"))
    lost = backtest([falling], [[0] * len(QUIET) + [0, 0, 1, 1, 1, 0, 1, 1, 1]], limits)
    assert set(codes(lost)) == {"loss"}


def test_an_opening_is_a_part_of_the_half_hour_before_at_most_and_of_daily_bars_there_is_none() -> None:
    start = datetime(2020, 1, 2, 14, 30, tzinfo=UTC)
    half_hours = minutes([50] * (len(QUIET) + 3), start)  # a million shares each
    wanted = [[0] * len(QUIET) + [1, 1, 1]]
    just = held_to(max_order_recent_volume_fraction=Decimal("0.0001"))
    tight = held_to(max_order_recent_volume_fraction=Decimal("0.000099"))
    assert codes(backtest([half_hours], wanted, just)) == {}
    assert codes(backtest([half_hours], wanted, tight)) == {"recent_volume": 2}
    tens = minutes([50] * (len(QUIET) + 3), start, every="10min")
    assert codes(backtest([tens], wanted, held_to(max_order_recent_volume_fraction=Decimal("0.000034")))) == {}
    assert codes(backtest([tens], wanted, held_to(max_order_recent_volume_fraction=Decimal("0.000033")))) == {
        "recent_volume": 2
    }
    hours = minutes([50] * (len(QUIET) + 3), start, every="60min")
    assert codes(backtest([hours], wanted, held_to(max_order_recent_volume_fraction=Decimal("0.0002")))) == {}
    assert codes(backtest([hours], wanted, held_to(max_order_recent_volume_fraction=Decimal("0.000199")))) == {
        "recent_volume": 2
    }
    days = after_quiet([(5000, 5000, 5000, 5000)] * 3, [1, 1, 1])
    assert codes(backtest(*days, tight)) == {}


def test_what_was_sold_pays_for_nothing_until_it_has_settled() -> None:
    # All of the cash is in XYZ; it is sold, and ABC wanted at the same open, three settlement days before the money is.
    rows = [*QUIET, *[(5000, 5000, 5000, 5000)] * 8]
    tapes = [tape_of(rows), tape_of(rows, "ABC", 2)]
    wanted = [[0] * len(QUIET) + way for way in ([1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1, 1, 1])]
    result = backtest(tapes, wanted, OPEN, size="fixed:2000")
    assert codes(result) == {"settled_cash": cycle_days(tapes[0].times[-1].astype("datetime64[D]").astype(date))}
    sold = next(trade for trade in result.trades if trade.symbol == "XYZ")
    assert {one.bar for one in result.denied or ()} == {sold.exit_bar + n for n in range(len(result.denied or ()))}
    (held,) = result.open_positions
    assert (held.symbol, held.size) == ("ABC", 2000)


def test_before_there_is_an_average_nothing_can_be_judged_and_nothing_opens() -> None:
    flat: list[Cents] = [(5000, 5000, 5000, 5000)] * (WINDOW + 3)
    result = backtest([tape_of(flat)], [[1] * len(flat)], OPEN)
    assert codes(result) == {"price_collar": WINDOW}
    assert [bar for bar, _, _ in openings(result)] == [WINDOW + 1]


def test_the_rules_are_those_of_live_orders() -> None:
    assert {RULES[code].check.__module__.split(".")[1] for code in HEARD} == {"risk"}


def test_denied_orders_are_a_file_and_counted(tmp_path: Path) -> None:
    tapes, wanted = after_quiet([(5000, 5000, 5000, 5000)] * 3, [1, 1, 1])
    result = backtest(tapes, wanted, held_to(max_order_value_usd=Decimal(4999)))
    written = write_files(tmp_path, result, {}, {})
    assert [path.name for path in written] == ["trades.csv", "equity.csv", "metrics.json", "denied.csv"]
    with (tmp_path / "denied.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["symbol"], row["side"], row["size"], row["bar"], row["code"]) for row in rows] == [
        ("XYZ", "long", "100", str(len(QUIET) + bar), "order_value") for bar in (1, 2)
    ]
    assert "exceeds 4999 USD" in rows[0]["text"]
    assert '"order_value": 2' in (tmp_path / "metrics.json").read_text()

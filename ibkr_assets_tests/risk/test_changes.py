"""A tightened limit holds at once, a raised one waits in mode live, and a limit without a direction cannot be added."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.domain.order import Mode
from ibkr_assets.risk.changes import (
    MORE_IS_TIGHTER,
    LimitsChange,
    changed,
    limits_in_force,
    raised,
    takes_effect,
    tighter,
)
from ibkr_assets.risk.limits import Limits
from ibkr_assets.risk.stored import digest

#: A Monday, noon in New York.
NOON = datetime(2012, 10, 1, 16, tzinfo=UTC)
#: The midnight of New York after the day that a change made then has to wait.
WEDNESDAY = datetime(2012, 10, 3, 4, tzinfo=UTC)


def worth(usd: int) -> Limits:
    return Limits(allowed_symbols=frozenset({"IBM"}), max_order_value_usd=Decimal(usd))


def change(limits: Limits, at: datetime, mode: Mode = Mode.LIVE) -> LimitsChange:
    return LimitsChange(limits, digest(limits), mode, "somebody", "a file", at)


LONG_AGO = NOON - timedelta(days=90)


def in_force(*history: tuple[int, datetime], now: datetime, mode: Mode = Mode.LIVE) -> Decimal:
    changes = [change(worth(usd), at) for usd, at in history]
    return limits_in_force(changes, changes[-1].limits, mode, now).max_order_value_usd


def test_a_raised_limit_is_in_force_from_the_first_midnight_after_a_day() -> None:
    history = ((1000, LONG_AGO), (5000, NOON))
    assert in_force(*history, now=NOON) == 1000
    assert in_force(*history, now=WEDNESDAY - timedelta(microseconds=1)) == 1000
    assert in_force(*history, now=WEDNESDAY) == 5000


def test_a_lowered_limit_is_in_force_at_once() -> None:
    assert in_force((5000, LONG_AGO), (1000, NOON), now=NOON) == 1000


def test_a_limit_lowered_and_raised_again_waits_from_the_raising() -> None:
    later = NOON + timedelta(hours=1)
    history = ((5000, LONG_AGO), (1000, NOON), (5000, later))
    assert in_force(*history, now=later + timedelta(hours=20)) == 1000
    assert in_force(*history, now=WEDNESDAY) == 5000


def test_limits_raised_twice_wait_for_each_raising() -> None:
    day = timedelta(days=1)
    history = ((1000, LONG_AGO), (2000, NOON), (3000, NOON + day))
    assert [in_force(*history, now=WEDNESDAY + n * day) for n in (-1, 0, 1)] == [1000, 2000, 3000]


def test_outside_of_live_what_is_configured_is_in_force() -> None:
    for mode in (Mode.DRY_RUN, Mode.SIM, Mode.PAPER):
        assert in_force((1000, LONG_AGO), (5000, NOON), now=NOON, mode=mode) == 5000


def test_what_another_mode_was_seen_with_does_not_shorten_the_delay() -> None:
    history = [change(worth(1000), LONG_AGO), change(worth(5000), LONG_AGO, Mode.SIM), change(worth(5000), NOON)]
    assert limits_in_force(history, worth(5000), Mode.LIVE, NOON).max_order_value_usd == 1000


def test_limits_that_nobody_noted_yet_wait_too_and_the_first_of_all_do_not() -> None:
    assert limits_in_force([change(worth(1000), LONG_AGO)], worth(5000), Mode.LIVE, NOON) == worth(1000)
    assert limits_in_force([], worth(5000), Mode.LIVE, NOON) == worth(5000)


def test_the_delay_ends_with_a_day_of_new_york_also_when_the_clock_changes() -> None:
    before_summer = datetime(2012, 3, 10, 5, tzinfo=UTC)  # midnight of the last winter day but one
    assert takes_effect(before_summer) == before_summer + timedelta(days=1)
    assert takes_effect(before_summer + timedelta(hours=1)) == before_summer + timedelta(days=1, hours=23)


def test_symbols_and_shorts_are_only_taken_away_and_sectors_stay_as_they_were() -> None:
    old = Limits(allowed_symbols=frozenset({"IBM", "MSFT"}), sectors=MappingProxyType({"IBM": "old"}))
    new = Limits(allowed_symbols=frozenset({"IBM", "AAPL"}), may_short=True, sectors=MappingProxyType({"IBM": "new"}))
    kept = tighter(new, old)
    assert (kept.allowed_symbols, kept.may_short, kept.sectors) == (frozenset({"IBM"}), False, {"IBM": "old"})
    assert set(raised(old, new)) == {"allowed_symbols", "may_short", "sectors"}
    assert set(changed(old, new)) == {"allowed_symbols", "may_short", "sectors"}
    assert raised(old, replace(old, allowed_symbols=frozenset({"IBM"}))) == ()


def test_more_of_a_reserve_is_tighter_and_more_of_anything_else_looser() -> None:
    for item in fields(Limits):
        value = getattr(Limits(), item.name)
        if isinstance(value, Decimal | int) and not isinstance(value, bool):
            more = replace(Limits(), **{item.name: value + 1})
            is_raised = raised(Limits(), more) == (item.name,)
            assert is_raised is not (item.name in MORE_IS_TIGHTER), item.name


def test_every_limit_has_a_direction() -> None:
    kinds = {item.name: type(getattr(Limits(), item.name)) for item in fields(Limits)}
    assert {name for name, kind in kinds.items() if kind is bool} == {"may_short", "may_lack_preview"}
    assert set(kinds.values()) <= {bool, int, Decimal, frozenset, MappingProxyType}
    assert set(kinds) >= MORE_IS_TIGHTER


@pytest.mark.parametrize("name", ["max_order_value_usd", "cash_reserve_fraction"])
def test_a_limit_that_is_no_number_stays_none_and_denies(name: str) -> None:
    broken = replace(Limits(), **{name: Decimal("NaN")})
    assert getattr(tighter(broken, Limits()), name).is_nan()
    assert getattr(tighter(Limits(), broken), name).is_nan()


HOURS = st.integers(0, 24 * 12)


@given(st.lists(st.tuples(st.integers(1, 9), HOURS), min_size=1, max_size=8), HOURS)
@settings(max_examples=300, deadline=None)
def test_live_is_never_looser_than_anything_configured_within_the_last_day(
    steps: list[tuple[int, int]], at: int
) -> None:
    ordered = sorted(((usd, LONG_AGO + timedelta(hours=hour)) for usd, hour in steps), key=lambda step: step[1])
    now = LONG_AGO + timedelta(hours=at)
    known = [step for step in ordered if step[1] <= now]
    if not known:
        return
    found = in_force(*known, now=now)
    until = [*(moment for _, moment in known[1:]), now]
    within_a_day = [usd for (usd, _), end in zip(known, until, strict=True) if end > now - timedelta(hours=24)]
    assert found <= min(within_a_day)
    within_three = [usd for (usd, _), end in zip(known, until, strict=True) if end > now - timedelta(hours=73)]
    assert found >= min(within_three)

"""What an order may not leave with: a stale or senseless quote, another clock, the hour of IBKR's reset."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.broker import Quote
from ibkr_assets.domain.order import TimeInForce
from ibkr_assets.risk.departure import check_clock, check_nightly_reset, check_quote
from ibkr_assets_tests.risk.orders import CLOSE, intent

NOW = datetime(2012, 10, 2, 15, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
GOOD = Quote(
    8314, Decimal("200.00"), Decimal("199.99"), Decimal("200.01"), is_halted=False, availability="RpB", updated_at=NOW
)
IN_SESSION = intent(time_in_force=TimeInForce.DAY)


def test_a_live_quote_of_now_passes_with_the_numbers_it_was_judged_by() -> None:
    finding = check_quote(IN_SESSION, GOOD, NOW)
    assert finding.is_passed
    assert (finding.numbers["last"], finding.numbers["availability"]) == ("200.00", "RpB")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"updated_at": NOW - timedelta(seconds=61)}, "61 s old"),
        ({"availability": "Z"}, "'Z'"),
        ({"is_halted": True}, "IBM is halted"),
        ({"availability": "DpB"}, "'DpB'"),
        ({"availability": "N"}, "'N'"),
        ({"availability": ""}, "''"),
        ({"last": Decimal(0)}, "last of IBM is 0"),
        ({"last": Decimal("-37.6")}, "last of IBM is -37.6"),
        ({"bid": Decimal(0)}, "bid of IBM is 0"),
        ({"ask": Decimal("NaN")}, "ask of IBM is NaN"),
        ({"bid": Decimal("200.02")}, "bid 200.02 of IBM is above its ask 200.01"),
    ],
)
def test_a_quote_that_is_stale_not_live_or_makes_no_sense_denies(changes: dict[str, object], said: str) -> None:
    finding = check_quote(IN_SESSION, replace(GOOD, **changes), NOW)
    assert not finding.is_passed
    assert said in finding.text


def test_an_order_on_the_open_may_rest_on_prices_since_the_close_it_was_decided_on() -> None:
    morning = datetime(2012, 10, 2, 13, tzinfo=UTC)
    assert check_quote(intent(), replace(GOOD, updated_at=CLOSE), morning).is_passed
    assert not check_quote(intent(), replace(GOOD, updated_at=CLOSE - timedelta(hours=1)), morning).is_passed
    assert not check_quote(IN_SESSION, replace(GOOD, updated_at=CLOSE), morning).is_passed


@pytest.mark.parametrize("skew_s", [0.0, 1.9, -2.0])
def test_clocks_within_two_seconds_pass(skew_s: float) -> None:
    assert check_clock(skew_s).is_passed


@pytest.mark.parametrize("skew_s", [None, float("nan"), float("inf"), 2.1, -2.1, 86_400.0, -86_400.0])
def test_clocks_further_apart_or_unknown_deny(skew_s: float | None) -> None:
    assert not check_clock(skew_s).is_passed


@pytest.mark.parametrize(
    ("local", "may_send"),
    [
        ("23:54", True), ("23:55", False), ("00:00", False), ("00:19", False), ("00:20", True), ("00:54", True),
        ("00:55", False), ("01:10", False), ("01:20", True), ("09:29", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("day", ["2012-03-10", "2012-07-02", "2012-11-04", "2012-12-31"])
def test_nothing_leaves_around_the_nightly_reset_of_the_region(day: str, local: str, may_send: bool) -> None:
    moment = datetime.fromisoformat(f"{day}T{local}:00").replace(tzinfo=NEW_YORK)
    assert check_nightly_reset(moment.astimezone(UTC), NEW_YORK).is_passed is may_send


@given(st.integers(1_325_376_000, 1_893_456_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)))
def test_the_reset_of_one_region_says_nothing_about_another(moment: datetime) -> None:
    zones = [ZoneInfo(name) for name in ("America/New_York", "Europe/Zurich", "Asia/Hong_Kong")]
    assert sum(not check_nightly_reset(moment, zone).is_passed for zone in zones) <= 1

"""Sensors and schedules ask for the right session once, and say why when they do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from ibkr_assets.defs.schedules import trading_strategy_before_open, trading_strategy_evening
from ibkr_assets.defs.sensors import ibkr_auth, market_open
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import LoginRequired, Unavailable
from ibkr_assets_tests.defs.ticks import CROSS, Peers, at, evaluate, evaluate_schedule, note_run, status, unreachable
from ibkr_assets_tests.fakes.bars import MemoryBars
from ibkr_assets_tests.fakes.tape import INSTRUMENTS, real_bars


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """For schedules: their ticks find the instance again by its reference, and one in memory has none."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def requests_of(answer: list[dg.RunRequest] | str) -> list[dg.RunRequest]:
    assert isinstance(answer, list), answer
    return answer


@pytest.mark.parametrize(
    ("now", "session"),
    [
        ("2012-11-21 09:30", "2012-11-20"),  # the opening minute counts
        ("2012-11-23 09:31", "2012-11-21"),  # the day after Thanksgiving decides on the day before it
        ("2012-11-23 12:29", "2012-11-21"),
        ("2012-10-31 10:00", "2012-10-26"),  # the first session after the storm decides on the last before it
        ("2013-03-11 09:30", "2013-03-08"),  # clocks went forward on the Sunday
        ("2012-11-05 09:30", "2012-11-02"),  # clocks went back on the Sunday
        ("2012-12-24 09:45", "2012-12-21"),
    ],
)
def test_an_open_market_asks_for_the_last_closed_session(instance: dg.DagsterInstance, now: str, session: str) -> None:
    (asked,) = requests_of(evaluate(market_open, Peers(at(now)), instance))
    assert asked.partition_key == session
    assert asked.run_key == f"trading_strategy|XNYS|{session}|cross"
    assert asked.tags["ibkr_assets/strategy"] == "cross"


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (
            "2012-11-22 11:00",
            "XNYS is closed today, Thursday 2012-11-22: not a session; next opens 2012-11-23 09:30 EST",
        ),
        (
            "2012-10-29 11:00",
            "XNYS is closed today, Monday 2012-10-29: not a session; next opens 2012-10-31 09:30 EDT",
        ),
        (
            "2012-11-03 11:00",
            "XNYS is closed today, Saturday 2012-11-03: not a session; next opens 2012-11-05 09:30 EST",
        ),
        ("2012-11-21 09:29", "XNYS is not open yet: opens 2012-11-21 09:30 EST"),
        ("2012-11-21 16:00", "XNYS closed at 2012-11-21 16:00 EST; next opens 2012-11-23 09:30 EST"),
        (
            "2012-11-23 13:00",
            "XNYS closed at 2012-11-23 13:00 EST, an early close; next opens 2012-11-26 09:30 EST",
        ),
        (
            "2012-11-23 12:45",
            (
                "stale: XNYS closes at 2012-11-23 13:00 EST, in 15 minutes; the decision on 2012-11-21 is left out, "
                "that on 2012-11-23 follows after the close"
            ),
        ),
    ],
)
def test_a_market_that_is_not_open_says_why_and_until_when(instance: dg.DagsterInstance, now: str, reason: str) -> None:
    assert evaluate(market_open, Peers(at(now)), instance) == reason


def test_a_session_is_asked_for_once_whoever_asks(on_disk: dg.DagsterInstance) -> None:
    run_id = note_run(on_disk, "trading_strategy", "2012-11-21", strategy_id="cross")
    expected = f"cross: already requested for 2012-11-21: run {run_id[:8]}, SUCCESS"
    assert evaluate(market_open, Peers(at("2012-11-23 09:31")), on_disk) == expected
    tick = at("2012-11-21 16:20")
    assert evaluate_schedule(trading_strategy_evening, Peers(tick), on_disk, tick) == expected
    assert evaluate_schedule(trading_strategy_before_open, Peers(at("2012-11-23 08:45")), on_disk, tick) == expected


def test_a_failed_run_is_not_tried_again_and_a_person_is_told(instance: dg.DagsterInstance) -> None:
    note_run(instance, "trading_strategy", "2012-11-21", dg.DagsterRunStatus.FAILURE, "cross")
    reason = evaluate(market_open, Peers(at("2012-11-23 09:31")), instance)
    assert str(reason).endswith("FAILURE; it is not tried again by itself: look at it, then re-execute it")


@pytest.mark.parametrize(
    ("tick", "session"),
    [
        ("2012-11-21 16:20", "2012-11-21"),
        ("2012-11-22 16:20", "2012-11-21"),  # a holiday's tick asks for what is not there yet
        ("2012-11-23 16:20", "2012-11-23"),  # three hours after an early close
        ("2012-10-30 16:20", "2012-10-26"),  # the exchange is closed by the storm
        ("2012-11-22 03:00", "2012-11-21"),  # the daemon was away for the evening
    ],
)
def test_the_evening_asks_for_the_last_closed_session(on_disk: dg.DagsterInstance, tick: str, session: str) -> None:
    (asked,) = requests_of(evaluate_schedule(trading_strategy_evening, Peers(at(tick)), on_disk, at(tick)))
    assert asked.partition_key == session


def test_a_schedule_follows_the_market_clock_where_it_differs_from_the_machines(on_disk: dg.DagsterInstance) -> None:
    (asked,) = requests_of(
        evaluate_schedule(trading_strategy_evening, Peers(at("2012-11-26 17:00")), on_disk, at("2026-11-20 16:20"))
    )
    assert asked.partition_key == "2012-11-26"


def test_a_tick_that_comes_too_late_for_its_orders_asks_for_nothing(on_disk: dg.DagsterInstance) -> None:
    reason = evaluate_schedule(trading_strategy_evening, Peers(at("2012-11-26 15:45")), on_disk, at("2012-11-23 16:20"))
    assert str(reason).startswith("stale: XNYS closes at 2012-11-26 16:00 EST, in 15 minutes")


def test_a_session_before_the_first_partition_is_not_asked_for(instance: dg.DagsterInstance) -> None:
    peers = Peers(at("2012-11-21 10:00"), first_session="2012-11-21")
    assert evaluate(market_open, peers, instance) == (
        "2012-11-20 lies before the first partition 2012-11-21 (market.first_session)"
    )


@pytest.mark.parametrize(("mode", "is_rehearsal"), [("dry_run", True), ("sim", False)])
def test_a_platform_that_only_rehearses_is_never_made_to_trade_by_a_tick(
    instance: dg.DagsterInstance, mode: str, is_rehearsal: bool
) -> None:
    (asked,) = requests_of(evaluate(market_open, Peers(at("2012-11-21 10:00"), mode=mode), instance))
    assert {op["config"]["dry_run"] for op in asked.run_config["ops"].values()} == {is_rehearsal}
    assert set(asked.run_config["ops"]) == {"raw_bars", "validated_bars", "enriched_features", "signals", "orders"}


FRIDAY_EVENING, MONDAY_MORNING = "2012-11-23 16:20", "2012-11-26 08:45"
FIVE = tuple(
    replace(CROSS, id=name, schedule=schedule, symbols=symbols, is_enabled=name != "off")
    for name, schedule, symbols in (
        ("daily", "after_close", ("IBM",)), ("wide", "after_close", ("IBM", "KO")), ("late", "before_open", ("IBM",)),
        ("weekly", "weekly", ("IBM",)), ("monthly", "monthly", ("IBM",)), ("odd", "hourly", ("IBM",)),
        ("off", "after_close", ("IBM",)),
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("tick", "asked_for"),
    [
        ("2012-11-21 16:20", ["daily", "wide"]),
        (FRIDAY_EVENING, ["daily", "wide", "weekly"]),
        (MONDAY_MORNING, ["daily", "wide", "late", "weekly"]),
        ("2012-11-30 16:20", ["daily", "wide", "weekly", "monthly"]),
    ],
)
def test_each_strategy_that_is_due_gets_a_run_of_its_own(
    on_disk: dg.DagsterInstance, tick: str, asked_for: list[str]
) -> None:
    peers = Peers(at(tick), mode="sim", strategies=FIVE)
    asked = requests_of(evaluate_schedule(trading_strategy_evening, peers, on_disk, at(tick)))
    assert [request.tags["ibkr_assets/strategy"] for request in asked] == asked_for
    assert len({request.run_key for request in asked}) == len(asked)
    configs = [request.run_config["ops"]["orders"]["config"] for request in asked]
    assert [config["strategy_id"] for config in configs] == asked_for
    assert configs[0]["symbols"] == []
    assert configs[1]["symbols"] == ["AAPL", "FB", "GOOG", "IBM", "MSFT", "KO"]


def test_a_tick_asks_only_for_those_that_no_other_has_asked_for(on_disk: dg.DagsterInstance) -> None:
    note_run(on_disk, "trading_strategy", "2012-11-23", strategy_id="daily")
    morning = at(MONDAY_MORNING)
    answer = evaluate_schedule(trading_strategy_before_open, Peers(morning, strategies=FIVE), on_disk, morning)
    assert [request.tags["ibkr_assets/strategy"] for request in requests_of(answer)] == ["wide", "late", "weekly"]


def test_where_nothing_is_due_each_strategy_has_its_reason(instance: dg.DagsterInstance) -> None:
    reason = evaluate(market_open, Peers(at("2012-11-21 10:00"), strategies=FIVE[3:6]), instance)
    assert reason == (
        "weekly: decides weekly, not after 2012-11-20; monthly: decides monthly, not after 2012-11-20; "
        "odd: schedule 'hourly': expected one of after_close, before_open, weekly, weekly:before_open, monthly, "
        "monthly:before_open"
    )


def test_without_an_enabled_strategy_one_run_keeps_the_bars_up_to_date(instance: dg.DagsterInstance) -> None:
    peers = Peers(at("2012-11-21 10:00"), strategies=(replace(CROSS, is_enabled=False),))
    (asked,) = requests_of(evaluate(market_open, peers, instance))
    assert asked.run_key == "trading_strategy|XNYS|2012-11-20"
    assert "ibkr_assets/strategy" not in asked.tags


def test_a_strategy_of_another_account_is_not_run_here(instance: dg.DagsterInstance) -> None:
    others = (replace(CROSS, id="other", account="DU9"), CROSS)
    (asked,) = requests_of(evaluate(market_open, Peers(at("2012-11-21 10:00"), strategies=others), instance))
    assert asked.tags["ibkr_assets/strategy"] == "cross"


def test_a_market_clock_that_does_not_answer_is_a_reason(on_disk: dg.DagsterInstance) -> None:
    peers = Peers(Unavailable("clock at http://127.0.0.1:1: refused"))
    reason = "the market clock does not answer: clock at http://127.0.0.1:1: refused"
    assert evaluate(market_open, peers, on_disk) == reason
    assert evaluate_schedule(trading_strategy_evening, peers, on_disk, at("2012-11-21 16:20")) == reason


EVENING = at("2012-11-21 16:20")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            status(is_logged_in=False),
            "logged out; open https://localhost:5000 in a browser and log in, the rest follows",
        ),
        (
            LoginRequired("the login page came"),
            "logged out: the login page came; open https://localhost:5000 in a browser and log in, the rest follows",
        ),
        (
            status(is_competing=True),
            "another session uses this login (Trader Workstation, a phone): end it there; nothing is fetched",
        ),
        (
            status(is_established=False),
            (
                "logged in, but the brokerage session is not up (connected: True, authenticated: True, "
                "established: False); the submitter brings it up"
            ),
        ),
        (unreachable(), "gateway at https://localhost:5000: connection refused"),
    ],
)
def test_a_gateway_that_is_not_ready_says_what_to_do(instance: dg.DagsterInstance, answer: object, reason: str) -> None:
    assert evaluate(ibkr_auth, Peers(EVENING, session=answer), instance) == reason


def test_a_ready_gateway_asks_for_bars_that_are_missing(instance: dg.DagsterInstance) -> None:
    (asked,) = requests_of(evaluate(ibkr_auth, Peers(EVENING, session=status()), instance))
    assert asked.partition_key == "2012-11-21"
    assert set(asked.run_config["ops"]) == {"raw_bars", "validated_bars", "enriched_features"}


def test_a_ready_gateway_asks_once(instance: dg.DagsterInstance) -> None:
    run_id = note_run(instance, "market_data", "2012-11-21")
    assert evaluate(ibkr_auth, Peers(EVENING, session=status()), instance) == (
        "ready; no bar of 2012-11-21 for AAPL, FB, GOOG, IBM, MSFT; "
        f"already requested for 2012-11-21: run {run_id[:8]}, SUCCESS"
    )


def test_bars_that_are_there_are_not_asked_for(instance: dg.DagsterInstance) -> None:
    bars = MemoryBars()
    bars.save_instruments(list(INSTRUMENTS.values()))
    day = real_bars(start=date(2012, 11, 21), end=date(2012, 11, 21))
    bars.save_bars(day, BarSize.DAY, source="test", known_from=EVENING)
    assert evaluate(ibkr_auth, Peers(EVENING, session=status(), bars=bars), instance) == (
        "ready; the bars of 2012-11-21 are there for all 5 symbols"
    )


def test_bars_are_not_fetched_before_they_are_final(instance: dg.DagsterInstance) -> None:
    assert evaluate(ibkr_auth, Peers(at("2012-11-23 13:10"), session=status()), instance) == (
        "XNYS closed at 2012-11-23 13:00 EST; its bars are final at 2012-11-23 13:15 EST"
    )

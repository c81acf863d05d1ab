"""What Dagster has to tell people is told once, by code and subject, and ended when it is over."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from ibkr_assets.definitions import defs
from ibkr_assets.defs.alerts import tell_of_failed_checks, tell_of_failed_runs, tell_of_login_deadline
from ibkr_assets.defs.freshness import bar_freshness
from ibkr_assets.domain.alert import AlertCode
from ibkr_assets.domain.errors import LoginRequired
from ibkr_assets_tests.defs.ticks import Peers, at, evaluate, resources, status, unreachable

MORNING = at("2012-11-21 08:00")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def subjects(peers: Peers) -> list[tuple[str, str]]:
    return sorted((code.value, subject) for code, subject in peers.alerts.open)


def run_assets(instance: dg.DagsterInstance, *, is_good: bool, raises: bool = False) -> dg.ExecuteInProcessResult:
    """A run of one asset with one check, in a partition."""

    @dg.asset(
        check_specs=[dg.AssetCheckSpec("is_good", asset="thing")],
        partitions_def=dg.StaticPartitionsDefinition(["2012-11-20"]),
    )
    def thing():
        if raises:
            raise ValueError("no bars of IBM\nsecond line is the cause")
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="is_good", passed=is_good)])

    return dg.materialize([thing], instance=instance, partition_key="2012-11-20", raise_on_error=False)


def context_of(
    result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance, event: dg.DagsterEvent, peers: Peers
) -> dg.RunStatusSensorContext:
    own = {"postgres": resources(peers)["postgres"]}
    return dg.build_run_status_sensor_context("test", event, instance, result.dagster_run, resources=own)


def test_a_run_that_fails_is_told_with_its_step_and_its_last_cause(instance) -> None:
    peers = Peers(MORNING)
    result = run_assets(instance, is_good=True, raises=True)
    with context_of(result, instance, result.get_run_failure_event(), peers).for_run_failure() as context:
        for _ in range(2):
            tell_of_failed_runs(context)
    run_id = result.dagster_run.run_id
    assert subjects(peers) == [("run_failed", run_id)]
    (alert,) = peers.alerts.told
    assert alert.text.startswith(f"run {run_id} (")
    assert " of 2012-11-20) failed in thing: " in alert.text
    assert alert.text.endswith("second line is the cause")
    assert alert.payload["partition"] == "2012-11-20"


def test_a_check_that_does_not_pass_is_told_and_over_when_it_does(instance) -> None:
    peers = Peers(MORNING)
    for is_good in (False, False, True):
        result = run_assets(instance, is_good=is_good)
        with context_of(result, instance, result.get_run_success_event(), peers) as context:
            tell_of_failed_checks(context)
        if not is_good:
            assert subjects(peers) == [("check_failed", "thing.is_good 2012-11-20")]
    assert subjects(peers) == []
    assert len(peers.alerts.told) == 1


@pytest.mark.parametrize(
    ("now", "session", "told"),
    [
        ("2012-11-21 08:29", status(is_logged_in=False), None),
        ("2012-11-21 08:30", status(is_logged_in=False), "opens in 60 minutes, and nobody is logged in"),
        ("2012-11-21 09:00", LoginRequired("the login has ended"), "a person must log in to the gateway"),
        ("2012-11-21 10:00", status(is_logged_in=False), "the exchange is open, and nobody is logged in"),
        ("2012-11-21 09:00", status(), None),
        ("2012-11-22 09:00", status(is_logged_in=False), None),  # a holiday
        ("2012-11-23 14:00", status(is_logged_in=False), None),  # an early close
    ],
)
def test_before_the_opening_somebody_must_have_logged_in(instance, now, session, told) -> None:
    peers = Peers(at(now), session=session)
    evaluate(tell_of_login_deadline, peers, instance)
    if told is None:
        assert subjects(peers) == []
    else:
        assert [code for code, _ in subjects(peers)] == ["login_deadline"]
        assert told in peers.alerts.told[0].text
        peers.session = status()
        evaluate(tell_of_login_deadline, peers, instance)
        assert subjects(peers) == []


def test_a_gateway_that_does_not_answer_is_the_submitters_to_tell(instance) -> None:
    peers = Peers(at("2012-11-21 09:00"), session=unreachable())
    assert "connection refused" in str(evaluate(tell_of_login_deadline, peers, instance))
    assert subjects(peers) == []


def test_a_feed_that_stopped_is_told_by_its_instruments(instance) -> None:
    peers = Peers(at("2012-11-21 18:00"))
    with dg.build_sensor_context(instance=instance, definitions=defs, resources=resources(peers)) as context:
        bar_freshness.evaluate_tick(context)
    assert [code for code, _ in subjects(peers)] == [AlertCode.STALE_DATA]
    assert peers.alerts.told[0].text.startswith("no bar of 2012-11-21 for 5 instruments: AAPL, FB")

"""What Dagster has to tell people: runs that failed, checks that did, a feed that stopped, a login that is due.

What goes here: sensors that write to the outbox of alerts. What does not: sending (`ibkr-assets alerts run`) and what
the ledger itself gives rise to. They are on from the start: whom nobody told nobody can ask to be told.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from ibkr_assets.defs.resources import Calendar, Clock, Ibkr, Postgres, SettingsInForce
from ibkr_assets.domain.alert import Alert, AlertCode
from ibkr_assets.domain.errors import ConfigurationError, LedgerConflict, LoginRequired, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.alerts import PostgresAlerts

_MOST_LISTED = 20
_ERROR_LENGTH = 300


@dg.run_failure_sensor(
    name="tell_of_failed_runs",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every run that fails is an alert, with the error of its first failed step.",
)
def tell_of_failed_runs(context: dg.RunFailureSensorContext, postgres: Postgres) -> None:
    """One alert a run; a database that is away is tried again with the next tick."""
    run = context.dagster_run
    partition = run.tags.get("dagster/partition", "")
    failed = [event for event in context.get_step_failure_events() if event.step_key]
    step = f" in {failed[0].step_key}" if failed else ""
    what = f"{run.job_name} of {partition}" if partition else run.job_name
    text = f"run {run.run_id} ({what}) failed{step}: {_first_error(context, failed)}"
    payload = {"run_id": run.run_id, "job": run.job_name, "partition": partition}
    alerts = postgres.alerts()
    alerts.raise_alert(Alert(AlertCode.RUN_FAILED, run.run_id, text, payload))
    _tell_of_checks(context.instance, run, alerts)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    name="tell_of_failed_checks",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every check that does not pass in a run that went well all the same is an alert until it passes.",
)
def tell_of_failed_checks(context: dg.RunStatusSensorContext, postgres: Postgres) -> None:
    """One alert a check and partition, over when the check of that partition passes."""
    _tell_of_checks(context.instance, context.dagster_run, postgres.alerts())


@dg.sensor(
    name="tell_of_login_deadline",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="An hour before the opening somebody must have logged in to the gateway (alerts.login_deadline_min).",
)
def tell_of_login_deadline(
    context: dg.SensorEvaluationContext,
    ibkr: Ibkr,
    clock: Clock,
    calendar: Calendar,
    postgres: Postgres,
    settings: dg.ResourceParam[SettingsInForce],
) -> dg.SkipReason:
    """Starts nothing. The session is looked at as it stands, by the market's time."""
    in_force = settings.get()
    if in_force.gateway.url is None:
        return dg.SkipReason("no gateway is named")
    try:
        now, days, alerts = clock.now(), calendar.load(), postgres.alerts()
        due = days.next_session(days.last_closed(now).day)
        minutes = (due.opens_at - now).total_seconds() / 60
        if minutes > in_force.alerts.login_deadline_min:
            alerts.settle(AlertCode.LOGIN_DEADLINE)
            return dg.SkipReason(f"the exchange opens in {minutes:.0f} minutes")
        problem = _login_problem(ibkr)
        if not problem:
            alerts.settle(AlertCode.LOGIN_DEADLINE)
            return dg.SkipReason("somebody is logged in")
        when = f"the exchange opens in {minutes:.0f} minutes" if minutes > 0 else "the exchange is open"
        alerts.raise_alert(Alert(AlertCode.LOGIN_DEADLINE, due.day.isoformat(), f"{when}, and {problem}"))
    except (Unavailable, ConfigurationError, LedgerConflict) as error:
        return dg.SkipReason(str(error))
    return dg.SkipReason(f"told: {problem}")


def tell_of_stale_bars(alerts: "PostgresAlerts", day: str, stale: Sequence[str]) -> None:
    """An alert of the instruments that lack the session's bar, or the end of it."""
    subject = f"{day}: {', '.join(stale[:_MOST_LISTED])}"
    if stale:
        text = f"no bar of {day} for {len(stale)} instruments: {', '.join(stale[:_MOST_LISTED])}"
        alerts.raise_alert(Alert(AlertCode.STALE_DATA, subject, text, {"session": day, "symbols": list(stale)}))
    alerts.settle(AlertCode.STALE_DATA, keep=(subject,) if stale else ())


def _login_problem(ibkr: Ibkr) -> str:
    try:
        status = ibkr.source().session()
    except LoginRequired as error:
        return f"a person must log in to the gateway: {error}"
    return "" if status.is_logged_in else "nobody is logged in to the gateway"


def _tell_of_checks(instance: dg.DagsterInstance, run: dg.DagsterRun, alerts: "PostgresAlerts") -> None:
    partition = run.tags.get("dagster/partition", "")
    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        check = event.asset_check_evaluation_data
        subject = f"{check.asset_key.to_user_string()}.{check.check_name} {partition}".strip()
        if check.passed:
            alerts.settle_one(AlertCode.CHECK_FAILED, subject)
            continue
        text = f"check {subject} does not pass ({check.severity.value.lower()}), run {run.run_id}"
        payload = {"run_id": run.run_id, "check": check.check_name, "asset": check.asset_key.to_user_string()}
        alerts.raise_alert(Alert(AlertCode.CHECK_FAILED, subject, text, payload))


def _first_error(context: dg.RunFailureSensorContext, failed: Sequence[dg.DagsterEvent]) -> str:
    for event in failed:
        error = event.step_failure_data.error
        if error is not None:
            cause = error
            while cause.cause is not None:
                cause = cause.cause
            lines = cause.message.strip().splitlines()
            return (lines[-1] if lines else "")[:_ERROR_LENGTH]
    return (context.failure_event.message or "no reason given").strip().splitlines()[0][:_ERROR_LENGTH]

"""Which session a tick should ask for, or the sentence that says why none.

What goes here: the rules that schedules and sensors share. What does not: asking (`defs.schedules`, `defs.sensors`).
All time is the market clock's, so the rules hold in a simulated market too; the machine's date is never looked at.

A daily strategy decides on the last session that has closed. Its orders are for the next session: at its opening
when the run comes before it, during it when the run comes late. So the session that is due is always the last one
closed, whenever a tick comes, and a tick that comes late cannot ask for an old one. It can only come too late for
its orders: when the next session is about to close. Then nothing is asked for, and the next evening decides anew.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import dagster as dg

from ibkr_assets.defs.partitions import TIME_ZONE
from ibkr_assets.domain.session import TradingSession

if TYPE_CHECKING:
    from ibkr_assets.market.calendar import ExchangeCalendar

#: Orders need at least this long before the close of the session that they are for.
LATEST_BEFORE_CLOSE = timedelta(minutes=30)
#: The last bar of a session is taken as final this long after the close.
FINAL_AFTER_CLOSE = timedelta(minutes=15)

_RUN_KEY_TAG = "dagster/run_key"


def due_for_trading(now: datetime, calendar: "ExchangeCalendar", *, first_session: str) -> TradingSession | str:
    """The session whose decision is due, or why none is."""
    due = calendar.last_closed(now)
    running = calendar.session_at(now)
    if running is not None and running.closes_at - now < LATEST_BEFORE_CLOSE:
        minutes = int((running.closes_at - now).total_seconds() // 60)
        return (
            f"stale: {calendar.mic} closes at {local(running.closes_at)}, in {minutes} minutes; the decision on "
            f"{due.day} is left out, that on {running.day} follows after the close"
        )
    return on_record(due, first_session)


def due_for_data(now: datetime, calendar: "ExchangeCalendar", *, first_session: str) -> TradingSession | str:
    """The session whose bars should be there by now, or why none should."""
    due = calendar.last_closed(now)
    final_at = due.closes_at + FINAL_AFTER_CLOSE
    if now < final_at:
        return f"{calendar.mic} closed at {local(due.closes_at)}; its bars are final at {local(final_at)}"
    return on_record(due, first_session)


def describe_closed(now: datetime, calendar: "ExchangeCalendar") -> str:
    """Why the exchange is closed at `now`, and when it opens."""
    today = now.astimezone(ZoneInfo(TIME_ZONE)).date()
    if not calendar.is_session(today):
        opens = calendar.next_session(today).opens_at
        return f"{calendar.mic} is closed today, {today:%A} {today}: not a session; next opens {local(opens)}"
    session = calendar.session(today)
    if now < session.opens_at:
        return f"{calendar.mic} is not open yet: opens {local(session.opens_at)}"
    early = ", an early close" if session.is_early_close else ""
    opens = calendar.next_session(today).opens_at
    return f"{calendar.mic} closed at {local(session.closes_at)}{early}; next opens {local(opens)}"


def run_key(job: str, session: TradingSession, strategy_id: str | None = None) -> str:
    """The key under which a job is asked for a session, and a strategy: the same in every schedule and sensor."""
    return "|".join([job, session.exchange, str(session.day), *([] if strategy_id is None else [strategy_id])])


def asked_before(
    instance: dg.DagsterInstance, job: str, session: TradingSession, strategy_id: str | None = None
) -> str | None:
    """A word on the run that was asked for with this key, or None. Dagster compares keys within one sensor only."""
    wanted = dg.RunsFilter(job_name=job, tags={_RUN_KEY_TAG: run_key(job, session, strategy_id)})
    runs = instance.get_runs(filters=wanted, limit=1)
    if not runs:
        return None
    text = f"already requested for {session.day}: run {runs[0].run_id[:8]}, {runs[0].status.value}"
    if runs[0].status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
        text += "; it is not tried again by itself: look at it, then re-execute it"
    return text


def local(moment: datetime) -> str:
    """An instant in the exchange's time, for people."""
    return moment.astimezone(ZoneInfo(TIME_ZONE)).strftime("%Y-%m-%d %H:%M %Z")


def on_record(due: TradingSession, first_session: str) -> TradingSession | str:
    """The session, or that it has no partition."""
    if due.day.isoformat() < first_session:
        return f"{due.day} lies before the first partition {first_session} (market.first_session)"
    return due

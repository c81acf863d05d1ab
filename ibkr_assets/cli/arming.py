"""What an arm rests on and how long it may last, looked up when an operator gives it.

What goes here: asking the calendar, the configuration file and both databases. What does not: the commands
(`cli.permission`) and judging a start (`execution.permission`).
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ibkr_assets import bootstrap
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.domain.order import Mode
from ibkr_assets.execution.permission import PAPER_SESSIONS, faults_of_record

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database
    from ibkr_assets.settings import Settings

_NEW_YORK = ZoneInfo("America/New_York")


def session_end(settings: Settings, now: datetime) -> datetime:
    """The close of the session that is on, or of the next one: no arm lasts longer."""
    calendar = bootstrap.calendar(settings)
    session = calendar.next_session(now.astimezone(_NEW_YORK).date() - timedelta(days=1))
    return session.closes_at if session.closes_at > now else calendar.next_session(session.day).closes_at


def arming_evidence(settings: Settings, now: datetime) -> dict[str, Any]:
    """What is kept with an arm. In mode live it is required: raises ConfigurationError naming the key that differs."""
    from ibkr_assets.adapters.config_file import read_config_file
    from ibkr_assets.adapters.postgres.permission_rows import evidence, paper_sessions

    file = read_config_file(os.environ.get("IBKR_ASSETS_CONFIG"))
    if settings.mode is not Mode.LIVE:
        return {"config_sha256": file.sha256}
    if file.sha256 is None or file.mode != Mode.LIVE:
        raise ConfigurationError("arm is refused: config: mode live is set in the file of IBKR_ASSETS_CONFIG, alone")
    if settings.paper_database_url is None:
        raise ConfigurationError(
            "arm is refused: paper_record: IBKR_ASSETS_PAPER_DATABASE_URL names no database of paper sessions"
        )
    from ibkr_assets.adapters.postgres.connection import Database

    paper = Database(settings.paper_database_url.get_secret_value())
    sessions = paper_sessions(paper, PAPER_SESSIONS)
    fault = faults_of_record(sessions, today=now.astimezone(_NEW_YORK).date())
    violations = _violations(paper, "paper") + _violations(bootstrap.database(settings), "live")
    if fault is None and violations:
        fault = f"invariants do not hold: {', '.join(violations)}"
    if fault is not None:
        raise ConfigurationError(f"arm is refused: paper_record: {fault}")
    return evidence(file.sha256, sessions, violations)


def _violations(database: Database, name: str) -> tuple[str, ...]:
    from ibkr_assets.adapters.postgres.invariants import check_invariants

    return tuple(f"{found['id']} ({name})" for found in check_invariants(database) if found["violations"])

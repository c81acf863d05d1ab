"""What a person is told of without having asked: the closed list of alerts, and one of them as a value.

What goes here: codes and how urgent each is. What does not: where alerts are kept (`adapters.postgres.alerts`), when
and how they reach somebody (`execution.alerting`), and what to do about each (`docs/runbook.md`, a section a code).
A new code is a line here, a row of `oms.alert_code` by a migration, and a section of the runbook; tests compare them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How soon somebody should know: in the daily digest, in waking hours, at once."""

    INFO = "info"
    WARNING = "warning"
    PAGE = "page"

    @property
    def rank(self) -> int:
        """For comparing: a higher one is more urgent."""
        return (Severity.INFO, Severity.WARNING, Severity.PAGE).index(self)


class AlertCode(StrEnum):
    """Every reason for an alert. Its severity is `SEVERITIES[code]`."""

    # the submitter, as the watchdog sees it
    SILENT = "silent"
    QUESTION_OPEN = "question_open"
    DOUBT_LASTS = "doubt_lasts"
    NOT_COMPARED = "not_compared"
    # permission and the ledger
    KILLED = "killed"
    DISARMED = "disarmed"
    INVARIANT_BROKEN = "invariant_broken"
    INVARIANTS_UNCHECKED = "invariants_unchecked"
    # orders and books
    ORDER_UNKNOWN = "order_unknown"
    ORDERS_DENIED = "orders_denied"
    ACCOUNT_BLOCKED = "account_blocked"
    BREAK_FOUND = "break_found"
    PORTFOLIO_DRIFT = "portfolio_drift"
    # the broker's session
    SESSION_LOST = "session_lost"
    LOGIN_DEADLINE = "login_deadline"
    # data and decisions
    STALE_DATA = "stale_data"
    GAP_GIVEN_UP = "gap_given_up"
    CORPORATE_ACTION = "corporate_action"
    BUDGET_SPENT = "budget_spent"
    # runs
    RUN_FAILED = "run_failed"
    CHECK_FAILED = "check_failed"
    # the platform itself
    DATABASE_AWAY = "database_away"
    DISK_LOW = "disk_low"
    BACKUP_FAILED = "backup_failed"
    SENDER_SILENT = "sender_silent"
    CHANNEL_FAILED = "channel_failed"
    TEST = "test"


_PAGES = {
    AlertCode.SILENT, AlertCode.QUESTION_OPEN, AlertCode.DOUBT_LASTS, AlertCode.NOT_COMPARED, AlertCode.KILLED,
    AlertCode.INVARIANT_BROKEN, AlertCode.INVARIANTS_UNCHECKED, AlertCode.ACCOUNT_BLOCKED, AlertCode.LOGIN_DEADLINE,
    AlertCode.DATABASE_AWAY, AlertCode.DISK_LOW, AlertCode.SENDER_SILENT, AlertCode.TEST,
}  # fmt: skip
_INFOS = {AlertCode.ORDERS_DENIED}
SEVERITIES: Mapping[AlertCode, Severity] = {
    code: Severity.PAGE if code in _PAGES else Severity.INFO if code in _INFOS else Severity.WARNING
    for code in AlertCode
}


@dataclass(frozen=True, slots=True)
class Alert:
    """One reason to tell somebody. While one of the same code and subject is open, another is counted, not sent.

    `subject` tells what it is about from others of the code and is short (an order's id, a symbol and day); `text` is
    one sentence for a person; `payload` is what a program may want, as JSON. None of them holds an account id, a
    password or a token: alerts leave the machine.
    """

    code: AlertCode
    subject: str
    text: str
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """How soon somebody should know."""
        return SEVERITIES[self.code]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One alert, or the day's digest, on its way to one channel.

    `event` is raised, resolved, reminder or digest; a digest has no alert. `may_have_arrived`: a try before this one
    began and nobody knows how it ended.
    """

    id: int
    event: str
    tries: int
    may_have_arrived: bool
    severity: Severity = Severity.INFO
    code: str = ""
    subject: str = ""
    text: str = ""
    alert_id: int | None = None
    raised_at: datetime | None = None
    resolved_at: datetime | None = None
    repeats: int = 0
    digest_of: date | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to reach somebody, by name. `scheme` is the kind of its address; the address itself is a secret."""

    name: str
    scheme: str
    min_severity: Severity = Severity.INFO


@dataclass(frozen=True, slots=True)
class Unplanned:
    """An alert that a channel has not been told of yet, in the sense of `event`."""

    alert_id: int
    channel: str
    event: str
    severity: Severity
    code: str

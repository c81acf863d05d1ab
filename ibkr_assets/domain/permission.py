"""Permission to trade as values: who the gateway is, what an arm rests on, what the watchdog sees.

What follows from them is `execution.permission`'s work; where they come from is the adapters'.
"""

from dataclasses import dataclass, field
from datetime import date, datetime

#: How the simulated gateway names its server; IBKR's own names are of another form.
SIMULATED_SERVER = "SimServer"
#: IBKR's ids of paper accounts begin with a D before the letters of the real one: DU, DF, DI.
PAPER_ACCOUNT = "D"


@dataclass(frozen=True, slots=True)
class GatewayIdentity:
    """What a gateway says of itself: its accounts, whether they are paper (None: it did not say), its server's name."""

    accounts: tuple[str, ...] = field(repr=False)
    is_paper: bool | None
    server_name: str | None

    @property
    def is_simulator(self) -> bool:
        """True for the simulated gateway that this platform ships."""
        return (self.server_name or "").startswith(SIMULATED_SERVER)


def is_paper_account(account: str) -> bool:
    """True when the form of the account's id is that of a paper account."""
    return account.startswith(PAPER_ACCOUNT)


@dataclass(frozen=True, slots=True)
class PaperSession:
    """One market day of the paper account. `problems` is empty when it was clean; `day` is the date in New York."""

    day: date
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """A permission to trade live, and what it was given on. `violations` are the invariants that did not hold."""

    actor: str
    reason: str
    at: datetime
    expires_at: datetime
    config_sha256: str
    paper_sessions: tuple[PaperSession, ...]
    violations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the database shows of the submitter at one moment; instants are only told apart, never subtracted.

    `is_active`: armed, or an order may still become a position. `questions` and `doubts` are client order ids.
    """

    status: str | None
    beat_at: datetime | None
    busy_s: float
    is_active: bool
    compared_at: datetime | None
    questions: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    #: When the process that tells people of alerts last looked; None where it has nobody to tell.
    sender_at: datetime | None = None

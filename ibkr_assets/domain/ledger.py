"""What the order ledger says of an account, as values: evidence about an order, and the platform's own books.

How they are stored is `adapters.postgres`' work, what follows from them `execution`'s.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class CallKind(StrEnum):
    """The three calls that change something at the broker."""

    PLACE = "place"
    REPLY = "reply"
    CANCEL = "cancel"


class CallOutcome(StrEnum):
    """What a wire call came to. A call without one was cut short by the end of its process."""

    OK = "ok"
    QUESTION = "question"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    AMBIGUOUS = "ambiguous"
    NOT_SENT = "not_sent"


class Blocks(StrEnum):
    """What an open difference between the books and the broker keeps from trading."""

    NOTHING = "nothing"
    CONID = "conid"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about an order in doubt. Ages are in seconds by the database's clock, None for never.

    `last_outcome` and `last_answer` are of the newest place or reply call. `observations` are the times the broker
    was looked at in a way that counts, and the order was not there. `statement` is what a person said about this doubt,
    who knew why the position changed; the database takes it only where both lists were read twice without the order.
    """

    last_outcome: CallOutcome | None
    last_answer: str
    sent_age_s: float | None
    observations: int
    first_observation_age_s: float | None
    newest_observation_age_s: float | None
    doubt_age_s: float
    gateway_session: str | None
    statement: str | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at the broker that did not show an order, with everything that decides whether it counts."""

    gateway_session: str
    is_ready: bool
    is_snapshot: bool
    is_primed: bool
    is_position_unchanged: bool
    orders_seen: int
    trades_seen: int


@dataclass(frozen=True, slots=True)
class FillsSaved:
    """What saving executions did: new ones, corrections of known ones, and conids of executions not ours."""

    new: int
    revised: int
    foreign_conids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Holding:
    """Signed shares of one instrument. `price` is what a share was worth when it was taken over, in USD."""

    conid: int
    symbol: str
    quantity: Decimal
    price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Books:
    """The platform's own account: opening, executions and cash events, in USD. Closed holdings are left out.

    `accrued` are dividends that went ex and were not paid yet. `paid_in` is what was brought in from outside after the
    opening, less what was taken out: it changes the net asset value and is no result.
    """

    is_opened: bool
    cash: Decimal
    accrued: Decimal
    holdings: dict[int, Holding]
    paid_in: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class CashEvent:
    """A change of the books that is no execution: `accrual` (owed, no cash yet) or `dividend` (paid), in USD."""

    kind: str
    amount: Decimal
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """The account at one market time, in USD: the platform's books beside the broker's own figures.

    `broker_settled_cash` is without the proceeds of sales that have not settled; None where the broker does not say.
    """

    market_at: datetime
    cash: Decimal
    accrued_dividends: Decimal
    positions_value: Decimal
    nav_broker: Decimal
    broker_cash: Decimal
    positions: list[dict[str, str]] = field(default_factory=list)
    paid_in: Decimal = Decimal(0)
    broker_settled_cash: Decimal | None = None

    @property
    def nav_platform(self) -> Decimal:
        """Cash, dividends owed, and positions at the newest prices."""
        return self.cash + self.accrued_dividends + self.positions_value


@dataclass(frozen=True, slots=True)
class Loss:
    """From a net asset value, with what was paid in since, to the newest, in USD. `since` is the base's market time."""

    nav: Decimal
    base: Decimal
    since: datetime

    @property
    def amount(self) -> Decimal:
        """USD lost; a gain is no loss. Not a number where one of both is none."""
        lost = self.base - self.nav
        return lost if lost.is_nan() or lost > 0 else Decimal(0)

    @property
    def fraction(self) -> Decimal | None:
        """The part of the base that was lost; None where it cannot be told."""
        if not (self.base.is_finite() and self.nav.is_finite() and self.base > 0):
            return None
        return self.amount / self.base


@dataclass(frozen=True, slots=True)
class Losses:
    """What the newest net asset value is below that of the day's begin, and below the highest. Payments are neither."""

    nav: Decimal
    nav_at: datetime
    of_day: Loss
    from_peak: Loss


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A snapshot as it was stored: its market time (aware UTC), and its positions as they were written."""

    snapshot_id: int
    market_at: datetime
    positions: list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class SharesEvent:
    """Shares by the broker's number that came without a trade, with what shows that they did.

    `new` and `old` are those of a split that took effect at `effective_at` (aware UTC). `reference` is kept with it.
    """

    conid: int
    symbol: str
    quantity: Decimal
    new: int
    old: int
    effective_at: datetime
    detail: str
    reference: dict[str, str]


@dataclass(frozen=True, slots=True)
class Break:
    """A difference between the books and the broker. The same `kind` and `subject` is one break while it is open."""

    kind: str
    subject: str
    blocks: Blocks
    detail: dict[str, str]
    conid: int | None = None
    intent_id: str | None = None

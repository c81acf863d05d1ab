"""An order before and after it exists at the broker: the intent, its identity, and its allowed states.

The broker's own answers are in `domain.broker`; how an intent moves from state to state is `execution`'s work.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class Mode(StrEnum):
    """How far an order may go: never off the machine, to the simulated gateway, to a paper or a live account."""

    DRY_RUN = "dry_run"
    SIM = "sim"
    PAPER = "paper"
    LIVE = "live"


class Side(StrEnum):
    """Buy or sell; a short sale is a sell."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    """IBKR's order types that the platform sends."""

    LIMIT = "LMT"
    MARKET = "MKT"


class TimeInForce(StrEnum):
    """How long an order lives. No good-till-cancelled: a forgotten order dies by itself."""

    DAY = "DAY"
    OPENING = "OPG"
    IMMEDIATE = "IOC"


class OrderState(StrEnum):
    """Where an intent stands. `filled` is a quantity beside the state: a partial fill is WORKING, 0 < filled."""

    PROPOSED = "PROPOSED"
    DENIED = "DENIED"
    APPROVED = "APPROVED"
    SUBMITTING = "SUBMITTING"
    QUESTION = "QUESTION"
    CONFIRMING = "CONFIRMING"
    UNKNOWN = "UNKNOWN"
    ACKED = "ACKED"
    WORKING = "WORKING"
    CANCEL_PENDING = "CANCEL_PENDING"
    CANCEL_UNKNOWN = "CANCEL_UNKNOWN"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED_UNSENT = "EXPIRED_UNSENT"
    NOT_PLACED = "NOT_PLACED"

    @property
    def is_terminal(self) -> bool:
        """True when nothing more is expected; only broker evidence may still overturn it."""
        return self in _TERMINAL

    @property
    def holds_risk(self) -> bool:
        """True while the order may be, or may become, a position that is not in the fills yet."""
        return self not in _TERMINAL and self is not OrderState.PROPOSED


_S = OrderState
_TERMINAL = frozenset({_S.DENIED, _S.FILLED, _S.CANCELLED, _S.REJECTED, _S.EXPIRED_UNSENT, _S.NOT_PLACED})

#: Every allowed move. The database holds the same rows and a trigger refuses any other; a test compares the two.
#: The moves out of terminal states are broker evidence overturning our reading: allowed, and always an alert. A full
#: order is one no more when executions are taken back; what is left of it is over. An approved order that was sent once
#: and is not sent again after all ends as NOT_PLACED: it did leave. From PROPOSED or APPROVED straight into doubt goes
#: only what a ledger restored from a backup takes over from the broker.
TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    _S.PROPOSED: frozenset({_S.APPROVED, _S.DENIED, _S.EXPIRED_UNSENT, _S.UNKNOWN}),
    _S.DENIED: frozenset(),
    _S.APPROVED: frozenset({_S.SUBMITTING, _S.EXPIRED_UNSENT, _S.DENIED, _S.NOT_PLACED, _S.UNKNOWN}),
    _S.SUBMITTING: frozenset({_S.QUESTION, _S.ACKED, _S.REJECTED, _S.UNKNOWN}),
    _S.QUESTION: frozenset({_S.CONFIRMING, _S.REJECTED, _S.UNKNOWN}),
    _S.CONFIRMING: frozenset({_S.QUESTION, _S.ACKED, _S.REJECTED, _S.UNKNOWN}),
    _S.UNKNOWN: frozenset({_S.ACKED, _S.WORKING, _S.FILLED, _S.CANCELLED, _S.REJECTED, _S.NOT_PLACED, _S.APPROVED}),
    _S.ACKED: frozenset({_S.WORKING, _S.FILLED, _S.CANCELLED, _S.REJECTED, _S.CANCEL_PENDING, _S.UNKNOWN}),
    _S.WORKING: frozenset({_S.FILLED, _S.CANCELLED, _S.REJECTED, _S.CANCEL_PENDING, _S.UNKNOWN}),
    _S.CANCEL_PENDING: frozenset({_S.CANCELLED, _S.FILLED, _S.WORKING, _S.CANCEL_UNKNOWN}),
    _S.CANCEL_UNKNOWN: frozenset({_S.CANCELLED, _S.FILLED, _S.WORKING}),
    _S.FILLED: frozenset({_S.CANCELLED}),
    _S.CANCELLED: frozenset({_S.FILLED, _S.WORKING}),
    _S.REJECTED: frozenset({_S.WORKING, _S.FILLED, _S.CANCELLED}),
    _S.EXPIRED_UNSENT: frozenset(),
    _S.NOT_PLACED: frozenset({_S.WORKING, _S.FILLED, _S.CANCELLED}),
}

#: Prefix of every client order id of ours; an order at the broker without it was placed by somebody else.
CLIENT_ORDER_ID_PREFIX = "q1-"


def account_ref(account: str) -> str:
    """An opaque name of a broker account, for logs, tags and pages: the account id itself stays out of them."""
    return "acct-" + hashlib.sha256(account.encode()).hexdigest()[:10]


def decision_key_of(
    mode: Mode,
    strategy_id: str,
    account_ref: str,
    conid: int,
    signal_bar_end: datetime,
    purpose: str,
    leg: int,
    generation: int,
) -> str:
    """The identity of a decision; `signal_bar_end` is in UTC."""
    parts = (mode, strategy_id, account_ref, conid, signal_bar_end.isoformat(), purpose, leg, generation)
    return "|".join(str(part) for part in parts)


def client_order_id_of(decision_key: str, salt: str) -> str:
    """IBKR's cOID for a decision: derived, without clock, sequence or chance; 29 characters.

    `salt` separates installations that trade the same account.
    """
    digest = hashlib.sha256(f"{salt}|{decision_key}".encode()).digest()
    return CLIENT_ORDER_ID_PREFIX + base64.b32encode(digest).decode().lower()[:26]


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """A wish to trade, before risk; unique by its decision key.

    Money is in the instrument's currency, quantities are whole lots, all instants are aware UTC.
    `reference_price` is the price the decision was made on (the close of the signal's bar). `valid_until` is the
    instant from which the order must not leave any more. `generation` is 0 unless an operator asked for a new try.
    """

    strategy_id: str
    account_ref: str
    mode: Mode
    conid: int
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    time_in_force: TimeInForce
    reference_price: Decimal
    session_date: date
    signal_bar_end: datetime
    valid_until: datetime
    purpose: str = "rebalance"
    leg: int = 0
    generation: int = 0

    def __post_init__(self) -> None:
        if self.quantity <= 0 or self.quantity != self.quantity.to_integral_value():
            raise ValueError(f"quantity must be a positive whole number, got {self.quantity}")
        if self.order_type is OrderType.LIMIT and self.limit_price is None:
            raise ValueError("limit_price is required for a limit order")
        if self.limit_price is not None and self.limit_price <= 0:
            raise ValueError(f"limit_price must be positive, got {self.limit_price}")
        if self.reference_price <= 0:
            raise ValueError(f"reference_price must be positive, got {self.reference_price}")
        for name in ("signal_bar_end", "valid_until"):
            if getattr(self, name).tzinfo is None:
                raise ValueError(f"{name} must be aware, got {getattr(self, name)!r}")

    @property
    def decision_key(self) -> str:
        """The identity of the decision: the same decision gives the same key, on any machine, for ever.

        The mode is part of it, so that a rehearsal (`dry_run`) never stands in the way of the real order.
        """
        return decision_key_of(
            self.mode, self.strategy_id, self.account_ref, self.conid, self.signal_bar_end,
            self.purpose, self.leg, self.generation,
        )  # fmt: skip

    def client_order_id(self, salt: str) -> str:
        """IBKR's cOID for this decision: see `client_order_id_of`."""
        return client_order_id_of(self.decision_key, salt)

    @property
    def payload_sha256(self) -> str:
        """Hash of everything economic: the same decision with another hash is an error, never a second order."""
        body = {
            "side": self.side, "type": self.order_type, "quantity": str(self.quantity.normalize()),
            "limit": None if self.limit_price is None else str(self.limit_price.normalize()),
            "tif": self.time_in_force, "conid": self.conid,
            "valid_until": self.valid_until.isoformat(),
        }  # fmt: skip
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

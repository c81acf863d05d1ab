"""What a broker tells us, as values: answers to an order, orders and quotes as they stand, the session.

The words are ours; IBKR's are translated in `adapters.ibkr.parse`. An answer is never an exception here: whoever
places an order must look at which one came.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from ibkr_assets.domain.order import OrderType, Side, TimeInForce


@dataclass(frozen=True, slots=True)
class OrderTicket:
    """What goes over the wire: always with the account and our own id, so that no field is left to a default."""

    account: str
    client_order_id: str
    conid: int
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    time_in_force: TimeInForce


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Taken by the broker, which gave it an id. Not yet a state: only later reads tell."""

    broker_order_id: str
    status: str


@dataclass(frozen=True, slots=True)
class Question:
    """The broker wants a reply before it places anything. `texts` are its own words."""

    reply_id: str
    message_ids: tuple[str, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """The broker says no, in its own words."""

    text: str
    http_status: int


@dataclass(frozen=True, slots=True)
class DuplicateRefused:
    """The broker already knows our id: the first send arrived."""

    text: str
    http_status: int


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Something came, or nothing, and it proves nothing: the order may be there or not.

    `is_other_account` tells that the answer spoke of an account that is not the pinned one.
    """

    reason: str
    http_status: int | None
    is_other_account: bool = False


@dataclass(frozen=True, slots=True)
class NotSent:
    """Not one byte of the request left this process in this call."""

    reason: str


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """The broker took note of a cancel. The order may still fill."""


PlaceAnswer = Acknowledged | Question | Rejected | DuplicateRefused | Ambiguous | NotSent
CancelAnswer = CancelRequested | Rejected | Ambiguous | NotSent


class BrokerOrderStatus(StrEnum):
    """IBKR's order states; an unknown one is an error, because money follows from it."""

    PENDING_SUBMIT = "PendingSubmit"
    PRE_SUBMITTED = "PreSubmitted"
    SUBMITTED = "Submitted"
    FILLED = "Filled"
    PENDING_CANCEL = "PendingCancel"
    PRE_CANCELLED = "PreCancelled"
    CANCELLED = "Cancelled"
    INACTIVE = "Inactive"
    WARN_STATE = "WarnState"


@dataclass(frozen=True, slots=True)
class BrokerOrder:
    """One row of the broker's order list. `client_order_id` is None where it was placed elsewhere.

    `symbol` and `limit_price` are None where the row does not say; an order at the market has no limit.
    """

    broker_order_id: str
    client_order_id: str | None
    conid: int
    side: Side
    status: BrokerOrderStatus
    quantity: Decimal
    filled: Decimal
    text: str = ""
    symbol: str | None = None
    limit_price: Decimal | None = None


class Presence(StrEnum):
    """Whether the broker has an order. UNKNOWN is an answer too: an empty list proves nothing by itself."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class OrdersRead:
    """One read of the order list. Only with `is_snapshot` does the absence of an order mean anything."""

    orders: tuple[BrokerOrder, ...]
    is_snapshot: bool
    others: tuple[str, ...] = ()  #: client order ids that the list shows on other accounts

    def presence(self, client_order_id: str) -> Presence:
        """Whether this read shows an order of ours. A row is one also where the list is not whole."""
        if any(row.client_order_id == client_order_id for row in self.orders):
            return Presence.YES
        return Presence.NO if self.is_snapshot else Presence.UNKNOWN


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """Both sessions of a gateway: the login, and the brokerage session on top of it."""

    is_logged_in: bool
    is_connected: bool
    is_authenticated: bool
    is_established: bool
    is_competing: bool
    message: str = ""
    session_id: str | None = None  #: a name of the gateway's session, where the answer told it

    @property
    def is_ready(self) -> bool:
        """True when orders and market data can be asked for."""
        return (
            self.is_logged_in
            and self.is_connected
            and self.is_authenticated
            and self.is_established
            and not self.is_competing
        )


@dataclass(frozen=True, slots=True)
class StreamNews:
    """What the broker's stream told since it was last asked: reasons to read sooner, never evidence.

    `has_gap`: it began anew, and what happened before was not told. `is_troubled`: it ended, or said that the
    session is not ours any more. `changed_orders` are broker order ids. `has_fills`: there are executions to read.
    """

    is_up: bool = False
    has_gap: bool = False
    is_troubled: bool = False
    changed_orders: frozenset[str] = frozenset()
    has_fills: bool = False


@dataclass(frozen=True, slots=True)
class Quote:
    """The newest prices of an instrument, each None when the feed has none. `updated_at` is aware UTC."""

    conid: int
    last: Decimal | None
    bid: Decimal | None
    ask: Decimal | None
    is_halted: bool
    availability: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class BrokerPosition:
    """A position as the broker reports it. `average_cost` and `market_price` are per share."""

    conid: int
    symbol: str
    quantity: Decimal
    average_cost: Decimal
    market_price: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class CashLedger:
    """The broker's cash figures in one currency. Accrued dividends are in the net liquidation, not in cash."""

    currency: str
    cash: Decimal
    settled_cash: Decimal
    accrued_dividends: Decimal
    stock_value: Decimal
    net_liquidation: Decimal
    as_of: datetime


@dataclass(frozen=True, slots=True)
class AccountRead:
    """The broker's account as one consistent read: nothing changed between its first and its last call.

    `market_at` is the market clock before the first of them.
    """

    market_at: datetime
    cash: CashLedger
    positions: tuple[BrokerPosition, ...]
    quotes: Mapping[int, Quote]


@dataclass(frozen=True, slots=True)
class MarginMove:
    """What an order does to a margin requirement, in the account's base currency: the change, and what is then."""

    change: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True)
class OrderPreview:
    """What the broker says an order would do, whole: equity with loan value and margins in the base currency.

    `commission_usd` is None where the broker did not name one.
    """

    equity_after: Decimal
    initial_margin: MarginMove
    maintenance_margin: MarginMove
    commission_usd: Decimal | None
    warnings: tuple[str, ...] = ()

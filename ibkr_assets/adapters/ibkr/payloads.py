"""IBKR's answers as models, with IBKR's own names, as far as they are used.

Unknown keys are allowed, for IBKR adds them without notice; whatever money follows from is required and read
strictly. What a payload means in our words goes to `parse`; the forms of single values are in `forms`.
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StrictStr,
    TypeAdapter,
    ValidationError,
)
from typing_extensions import TypedDict  # pydantic cannot read typing's before Python 3.12

from ibkr_assets.adapters.ibkr.forms import moment, number, optional_number, text_or_none, whole, words
from ibkr_assets.adapters.ibkr.transport import redact
from ibkr_assets.domain.errors import UnreadableAnswer

T = TypeVar("T")

Number = Annotated[Decimal, BeforeValidator(number)]
OptionalNumber = Annotated[Decimal | None, BeforeValidator(optional_number)]
Moment = Annotated[datetime, BeforeValidator(moment)]
Whole = Annotated[int, BeforeValidator(whole)]
Text = Annotated[str | None, BeforeValidator(text_or_none)]
Words = Annotated[str, BeforeValidator(words)]


class _Payload(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)


class AuthStatus(_Payload):
    """`/iserver/auth/status`, `/iserver/auth/ssodh/init`, and inside `/tickle`. Keys may be missing when logged out."""

    authenticated: StrictBool = False
    connected: StrictBool = False
    competing: StrictBool = False
    established: StrictBool | None = None
    message: Text = None
    fail: Text = None


class Iserver(_Payload):
    """The part of a tickle about the brokerage session."""

    authStatus: AuthStatus | None = None  # noqa: N815


class Tickle(_Payload):
    """`/tickle`. `session` is a credential (the websocket's cookie)."""

    session: StrictStr = Field(min_length=1, repr=False)
    iserver: Iserver = Iserver()
    ssoExpires: int | None = None  # noqa: N815


class Accounts(_Payload):
    """`/iserver/accounts`."""

    accounts: list[StrictStr]
    selectedAccount: Text = None  # noqa: N815
    isPaper: Any = None  # noqa: N815
    serverInfo: Any = None  # noqa: N815


class PortfolioAccount(_Payload):
    """A row of `/portfolio/accounts`."""

    id: StrictStr
    currency: Text = None


class StockContract(_Payload):
    """A contract of `/trsrv/stocks`."""

    conid: Whole
    exchange: Text = None
    isUS: StrictBool = False  # noqa: N815


class Stock(_Payload):
    """An instrument of `/trsrv/stocks`, with the contracts it has."""

    name: Text = None
    assetClass: Text = None  # noqa: N815
    contracts: list[StockContract] = []


class IncrementRule(_Payload):
    """The price step from a price upwards."""

    lowerEdge: Number  # noqa: N815
    increment: Number


class Secdef(_Payload):
    """A row of `/trsrv/secdef`."""

    conid: Whole
    currency: StrictStr
    ticker: Text = None
    listingExchange: Text = None  # noqa: N815
    incrementRules: list[IncrementRule] | None = None  # noqa: N815


class Secdefs(_Payload):
    """`/trsrv/secdef`."""

    secdef: list[Secdef]


class ContractRules(_Payload):
    """The `rules` of `/iserver/contract/{conid}/info-and-rules`. `sizeIncrement` is a round lot, not a minimum."""

    increment: OptionalNumber = None


class ContractInfo(_Payload):
    """`/iserver/contract/{conid}/info-and-rules`."""

    rules: ContractRules = ContractRules()


class SearchSection(_Payload):
    """A kind of contract that a listing has."""

    secType: Text = None  # noqa: N815


class SearchRow(_Payload):
    """A listing of `/iserver/secdef/search`."""

    conid: Whole
    symbol: Text = None
    companyName: Text = None  # noqa: N815
    description: Text = None
    sections: list[SearchSection] | None = None


class HistoryBar(TypedDict):
    """A bar of `/iserver/marketdata/history`: real prices, `t` in milliseconds UTC at the bar's start."""

    t: int
    o: FiniteFloat
    h: FiniteFloat
    l: FiniteFloat  # noqa: E741
    c: FiniteFloat
    v: FiniteFloat


class History(_Payload):
    """`/iserver/marketdata/history`. Volume in shares is `v` x `volumeFactor`, which is not constant."""

    data: list[HistoryBar]
    volumeFactor: FiniteFloat = Field(gt=0)  # noqa: N815
    barLength: int | None = None  # noqa: N815
    symbol: Text = None
    mdAvailability: Text = None  # noqa: N815
    mktDataDelay: OptionalNumber = None  # noqa: N815


class SnapshotRow(_Payload):
    """A row of `/iserver/marketdata/snapshot`; fields have numbers for names and come bit by bit."""

    conid: Whole
    updated: Moment | None = Field(None, alias="_updated")
    last: Any = Field(None, alias="31")
    bid: Any = Field(None, alias="84")
    ask: Any = Field(None, alias="86")
    availability: Text = Field(None, alias="6509")


class LiveOrder(_Payload):
    """A row of `/iserver/account/orders`."""

    orderId: Whole  # noqa: N815
    acct: Text = None
    account: Text = None
    conid: Whole
    side: StrictStr
    status: StrictStr
    totalSize: OptionalNumber = None  # noqa: N815
    filledQuantity: Number  # noqa: N815
    remainingQuantity: OptionalNumber = None  # noqa: N815
    ticker: Text = None
    price: OptionalNumber = None
    order_ref: Text = None
    orderDesc: Text = None  # noqa: N815
    order_cancellation_by_system_reason: Text = None


class LiveOrders(_Payload):
    """`/iserver/account/orders`. Without `snapshot` the list may be incomplete."""

    orders: list[LiveOrder]
    snapshot: StrictBool


class OrderStatus(_Payload):
    """`/iserver/account/order/status/{id}`. `size` is what is left; there is no `order_ref`."""

    order_id: Whole
    conid: Whole
    side: StrictStr
    order_status: StrictStr
    total_size: Number
    cum_fill: OptionalNumber = None
    filled_quantity: OptionalNumber = None
    account: Text = None
    order_description: Text = None


class Trade(_Payload):
    """A row of `/iserver/account/trades`."""

    execution_id: Words
    symbol: Words
    side: StrictStr
    size: Number
    price: Number
    commission: Number
    conid: Whole
    order_id: Whole
    trade_time_r: Moment
    order_ref: Text = None
    account: Text = None
    accountCode: Text = None  # noqa: N815


class Position(_Payload):
    """A row of `/portfolio2/{acct}/positions`. `avgPrice` is per share, `avgCost` per contract."""

    conid: Whole
    description: Text = None
    position: Number
    avgPrice: Number  # noqa: N815
    marketPrice: Number  # noqa: N815
    currency: StrictStr


class PagedPosition(_Payload):
    """A row of `/portfolio/{acct}/positions/{page}`, which may be sparse: the first read of a session is."""

    conid: Whole
    contractDesc: Text = None  # noqa: N815
    ticker: Text = None
    position: Number
    avgPrice: Number  # noqa: N815
    mktPrice: Number  # noqa: N815
    currency: StrictStr


class LedgerRow(_Payload):
    """An entry of `/portfolio/{acct}/ledger`; `timestamp` is in seconds here."""

    currency: StrictStr
    cashbalance: Number
    settledcash: Number
    dividends: Number
    stockmarketvalue: Number
    netliquidationvalue: Number
    timestamp: Moment


class SummaryEntry(_Payload):
    """An entry of `/portfolio/{acct}/summary`: money in `amount`, text in `value`."""

    amount: OptionalNumber = None
    currency: Text = None
    value: Text = None
    isNull: StrictBool = False  # noqa: N815


def read(kind: type[T], value: Any, what: str) -> T:
    """Check an answer against its model. Raises UnreadableAnswer naming what was read and the field."""
    try:
        return cast("T", _adapter(cast("Hashable", kind)).validate_python(value))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "answer"
        raise UnreadableAnswer(redact(f"{what}: {where}: {first['msg']}")) from None


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast("Any", kind))

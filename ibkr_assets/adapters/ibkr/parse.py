"""IBKR's words to ours, and the one way back: an order ticket to IBKR's body.

The only file that knows both vocabularies. Forms of single values are in `forms`, models of answers in `payloads`;
nothing here asks the gateway anything. What cannot be translated raises UnreadableAnswer naming the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from ibkr_assets.adapters.ibkr import payloads
from ibkr_assets.adapters.ibkr.forms import marked_price
from ibkr_assets.adapters.ibkr.transport import redact
from ibkr_assets.domain.account import Fill
from ibkr_assets.domain.broker import (
    BrokerOrder,
    BrokerOrderStatus,
    BrokerPosition,
    CashLedger,
    OrdersRead,
    OrderTicket,
    Quote,
    SessionStatus,
)
from ibkr_assets.domain.errors import UnreadableAnswer
from ibkr_assets.domain.order import OrderType, Side
from ibkr_assets.domain.permission import GatewayIdentity

BASE_CURRENCY_KEY = "BASE"
_SIDES = {
    "B": Side.BUY, "BUY": Side.BUY, "BOUGHT": Side.BUY,
    "S": Side.SELL, "SELL": Side.SELL, "SOLD": Side.SELL, "SSHORT": Side.SELL,
}  # fmt: skip

NOT_LOGGED_IN = SessionStatus(
    is_logged_in=False,
    is_connected=False,
    is_authenticated=False,
    is_established=False,
    is_competing=False,
    message="the gateway is not logged in",
)


def gateway_identity(accounts: payloads.Accounts) -> GatewayIdentity:
    """What the gateway says of itself; what is not said plainly counts as not said."""
    info = accounts.serverInfo if isinstance(accounts.serverInfo, dict) else {}
    name = info.get("serverName")
    return GatewayIdentity(
        accounts=tuple(accounts.accounts),
        is_paper=accounts.isPaper if isinstance(accounts.isPaper, bool) else None,
        server_name=redact(name) if isinstance(name, str) else None,
    )


def side(text: str) -> Side:
    """`B`, `BUY`, `Bought` and the same of a sale."""
    try:
        return _SIDES[text.strip().upper()]
    except KeyError:
        raise UnreadableAnswer(f"side: {text[:20]!r} is neither a buy nor a sale") from None


def order_state(text: str) -> BrokerOrderStatus:
    """IBKR's order state. An unknown one is refused, because money follows from it."""
    try:
        return BrokerOrderStatus(text)
    except ValueError:
        raise UnreadableAnswer(f"status: {text[:30]!r} is not an order state that is known") from None


def session_status(payload: payloads.AuthStatus, *, is_logged_in: bool = True) -> SessionStatus:
    """Older gateways have no `established`: there, authenticated is all that can be known."""
    is_established = payload.authenticated if payload.established is None else payload.established
    return SessionStatus(
        is_logged_in=is_logged_in,
        is_connected=payload.connected,
        is_authenticated=payload.authenticated,
        is_established=is_established,
        is_competing=payload.competing,
        message=redact(payload.fail or payload.message or ""),
    )


def orders_read(payload: payloads.LiveOrders, account: str) -> OrdersRead:
    """The order list of one account. Raises UnreadableAnswer for a row that says neither whose it is nor how much."""
    rows, others = [], []
    for row in payload.orders:
        owner = row.acct or row.account
        if owner is None:
            raise UnreadableAnswer(f"order {row.orderId}: no account")
        if owner == account:
            rows.append(_live_order(row))
        elif row.order_ref is not None:
            others.append(row.order_ref)
    return OrdersRead(tuple(rows), payload.snapshot, tuple(others))


def _live_order(row: payloads.LiveOrder) -> BrokerOrder:
    quantity = row.totalSize
    if quantity is None:
        if row.remainingQuantity is None:
            raise UnreadableAnswer(f"order {row.orderId}: neither totalSize nor remainingQuantity")
        quantity = row.remainingQuantity + row.filledQuantity
    return BrokerOrder(
        broker_order_id=str(row.orderId),
        client_order_id=row.order_ref,
        conid=row.conid,
        side=side(row.side),
        status=order_state(row.status),
        quantity=quantity,
        filled=row.filledQuantity,
        text=redact(row.order_cancellation_by_system_reason or row.orderDesc or ""),
        symbol=row.ticker,
        limit_price=row.price,
    )


def order_status(payload: payloads.OrderStatus) -> BrokerOrder:
    """One order; its status endpoint carries no client order id."""
    filled = payload.cum_fill if payload.cum_fill is not None else payload.filled_quantity
    if filled is None:
        raise UnreadableAnswer(f"order {payload.order_id}: neither cum_fill nor filled_quantity")
    return BrokerOrder(
        broker_order_id=str(payload.order_id),
        client_order_id=None,
        conid=payload.conid,
        side=side(payload.side),
        status=order_state(payload.order_status),
        quantity=payload.total_size,
        filled=filled,
        text=redact(payload.order_description or ""),
    )


def fills(rows: Sequence[payloads.Trade], account: str) -> tuple[Fill, ...]:
    """Executions of one account, in order of time. Raises UnreadableAnswer for one of nothing, or for nothing."""
    made = []
    for row in rows:
        owner = row.account or row.accountCode
        if owner is None:
            raise UnreadableAnswer(f"execution {row.execution_id}: no account")
        if owner == account:
            made.append(_fill(row))
    return tuple(sorted(made, key=lambda fill: (fill.executed_at, fill.execution_id)))


def _fill(row: payloads.Trade) -> Fill:
    if row.size == 0 or row.price <= 0:
        raise UnreadableAnswer(f"execution {row.execution_id}: {row.size} at {row.price} is no execution")
    return Fill(
        execution_id=row.execution_id,
        client_order_id=row.order_ref,
        broker_order_id=str(row.order_id),
        conid=row.conid,
        symbol=row.symbol,
        side=side(row.side),
        quantity=row.size,
        price=row.price,
        commission=row.commission,
        executed_at=row.trade_time_r,
    )


def position(row: payloads.Position) -> BrokerPosition:
    """A row of the newer positions endpoint."""
    return BrokerPosition(
        row.conid, row.description or "", row.position, row.avgPrice, row.marketPrice, row.currency
    )  # fmt: skip


def paged_position(row: payloads.PagedPosition) -> BrokerPosition:
    """A row of the older positions endpoint, sparse or not."""
    symbol = row.ticker or row.contractDesc or ""
    return BrokerPosition(row.conid, symbol, row.position, row.avgPrice, row.mktPrice, row.currency)


def cash_ledger(entries: dict[str, payloads.LedgerRow], base_currency: str | None) -> CashLedger:
    """The account's totals in its base currency.

    With one currency its own entry is taken; with several the entry `BASE`, which needs `base_currency` for a name.
    """
    currencies = [name for name in entries if name != BASE_CURRENCY_KEY]
    if len(currencies) == 1:
        currency, entry = currencies[0], entries[currencies[0]]
    elif BASE_CURRENCY_KEY in entries and base_currency:
        currency, entry = base_currency, entries[BASE_CURRENCY_KEY]
    else:
        raise UnreadableAnswer(f"ledger: no totals among {sorted(entries)}")
    return CashLedger(
        currency=currency,
        cash=entry.cashbalance,
        settled_cash=entry.settledcash,
        accrued_dividends=entry.dividends,
        stock_value=entry.stockmarketvalue,
        net_liquidation=entry.netliquidationvalue,
        as_of=entry.timestamp,
    )


def quote(row: payloads.SnapshotRow) -> Quote | None:
    """The prices of a snapshot row, or None where it has none (yet)."""
    try:
        last, is_halted = marked_price(row.last)
        bid, is_bid_halted = marked_price(row.bid)
        ask, is_ask_halted = marked_price(row.ask)
    except ValueError as error:
        raise UnreadableAnswer(f"snapshot of {row.conid}: {error}") from None
    if last is None and bid is None and ask is None:
        return None
    if row.updated is None:
        raise UnreadableAnswer(f"snapshot of {row.conid}: prices without _updated")
    return Quote(
        conid=row.conid,
        last=last,
        bid=bid,
        ask=ask,
        is_halted=is_halted or is_bid_halted or is_ask_halted,
        availability=row.availability or "",
        updated_at=row.updated,
    )


def order_body(ticket: OrderTicket) -> dict[str, Any]:
    """IBKR's order of a ticket: every field that has a default at IBKR is written out.

    Raises ValueError for a ticket that must not leave: no account, no client order id, no positive quantity, a price
    that does not fit the order type or cannot be written exactly.
    """
    if not ticket.account.strip():
        raise ValueError("account: empty; IBKR would take the first one it has")
    if not 0 < len(ticket.client_order_id.strip()) <= 64:
        raise ValueError(f"client_order_id: 1 to 64 characters, got {len(ticket.client_order_id)}")
    if ticket.conid <= 0:
        raise ValueError(f"conid: must be positive, got {ticket.conid}")
    if not ticket.quantity.is_finite() or ticket.quantity <= 0:
        raise ValueError(f"quantity: must be positive, got {ticket.quantity}")
    body: dict[str, Any] = {
        "acctId": ticket.account,
        "conid": ticket.conid,
        "secType": f"{ticket.conid}:STK",
        "cOID": ticket.client_order_id,
        "orderType": ticket.order_type.value,
        "side": ticket.side.value,
        "tif": ticket.time_in_force.value,
        "quantity": _plain_number("quantity", ticket.quantity),
        "outsideRTH": False,
    }
    if (ticket.limit_price is None) != (ticket.order_type is OrderType.MARKET):
        raise ValueError(f"limit_price: {ticket.limit_price} does not fit a {ticket.order_type} order")
    if ticket.limit_price is not None:
        if not ticket.limit_price.is_finite() or ticket.limit_price <= 0:
            raise ValueError(f"limit_price: must be positive, got {ticket.limit_price}")
        body["price"] = _plain_number("limit_price", ticket.limit_price)
    return body


def _plain_number(name: str, value: Decimal) -> int | float:
    if value == value.to_integral_value():
        return int(value)
    written = float(value)
    if Decimal(repr(written)) != value:
        raise ValueError(f"{name}: {value} cannot be written exactly")
    return written

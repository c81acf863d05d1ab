"""An order as a row of the live list and as its own status, and an execution as a row of the trades.

The same rows go out over HTTP and, as changes, over the websocket. Which rows are told when is `order_reads`' work.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ibkr_assets.simulator.face.formats import (
    average_text,
    compact_time,
    dashed_time,
    millis,
    money,
    price_text,
    size_text,
)
from ibkr_assets.simulator.face.sessions import USER
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.listings import Contract
from ibkr_assets.simulator.venue_order import Execution, Status, VenueOrder

_TYPES = {
    "LMT": ("LIMIT", "Limit"), "MKT": ("MARKET", "Market"), "STP": ("STOP", "Stop"),
    "STOP_LIMIT": ("STOP_LIMIT", "Stop Limit"), "TRAIL": ("TRAILING_STOP", "Trailing Stop"),
    "TRAILLMT": ("TRAILING_STOP_LIMIT", "Trailing Stop Limit"), "MIDPRICE": ("MIDPRICE", "MidPrice"),
    "MOC": ("MARKETONCLOSE", "Market On Close"), "LOC": ("LIMITONCLOSE", "Limit On Close"),
}  # fmt: skip
_COLOURS = {
    Status.PRE_SUBMITTED: ("#FFFFFF", "#0000CC"), Status.SUBMITTED: ("#000000", "#00F000"),
    Status.PENDING_CANCEL: ("#FFFFFF", "#CC9900"), Status.FILLED: ("#FFFFFF", "#000000"),
    Status.CANCELLED: ("#FFFFFF", "#CC0000"), Status.INACTIVE: ("#FFFFFF", "#999999"),
}  # fmt: skip
_CCP_STATUS = {Status.FILLED: "2", Status.CANCELLED: "4", Status.INACTIVE: "4"}
_STATUS_WORDS = {
    Status.FILLED: "Order Filled", Status.CANCELLED: "Order Cancelled", Status.INACTIVE: "Order Inactive",
    Status.PENDING_CANCEL: "Order Being Cancelled",
}  # fmt: skip


def _describe(order: VenueOrder, symbol: str = "") -> str:
    """`Buy 10 Limit 150.00, Day`, or `Bought` once it is done; with the symbol where the payload wants it."""
    verbs = {"BUY": ("Buy", "Bought"), "SELL": ("Sell", "Sold")}[order.side]
    verb = verbs[1] if order.status is Status.FILLED else verbs[0]
    life = "Day" if order.time_in_force == "DAY" else order.time_in_force
    prices = " ".join(price_text(p) for p in (order.price, order.aux_price) if p is not None)
    words = [verb, size_text(order.quantity), symbol, _TYPES[order.order_type][1], prices]
    return " ".join(word for word in words if word) + f", {life}"


def _shown_price(order: VenueOrder) -> Decimal | None:
    """The limit as it is now, or the stop of an order that has no limit."""
    if order.is_trailing:
        return order.limit if order.order_type == "TRAILLMT" else order.trail_stop
    return order.price


def live_row(gateway: Gateway, order: VenueOrder) -> dict[str, Any]:
    """A row of the live list. Children carry their parent's number and no name of the client's."""
    contract = gateway.tape.contracts[order.conid]
    account = gateway.options.account
    sizes = f"{size_text(order.filled)}/{size_text(order.remaining)}"
    background, foreground = _COLOURS[order.status]
    row: dict[str, Any] = {
        "acct": account, "conidex": str(order.conid), "conid": order.conid, "account": account,
        "orderId": order.order_id, "cashCcy": "USD",
        "sizeAndFills": size_text(order.filled) if order.status is Status.FILLED else sizes,
        "orderDesc": _describe(order), "description1": contract.symbol, "ticker": contract.symbol, "secType": "STK",
        "listingExchange": contract.order_exchange, "remainingQuantity": money(order.remaining),
        "filledQuantity": money(order.filled), "totalSize": money(order.quantity), "companyName": contract.company,
        "status": order.status.value,
        "order_ccp_status": "Submitted" if order.is_live else order.status.value,
        "outsideRTH": order.is_outside_rth, "origOrderType": _TYPES[order.order_type][0], "supportsTaxOpt": "1",
        "lastExecutionTime": compact_time(order.updated_at), "orderType": _TYPES[order.order_type][1],
        "bgColor": background, "fgColor": foreground, "isEventTrading": "0", "price": price_text(_shown_price(order)),
        "timeInForce": "CLOSE" if order.time_in_force == "DAY" else order.time_in_force,
        "lastExecutionTime_r": millis(order.updated_at), "side": order.side,
    }  # fmt: skip
    if order.coid is not None:
        row["order_ref"] = order.coid
    if order.average_price is not None:
        row["avgPrice"] = average_text(order.average_price)
    if order.aux_price is not None:
        row["auxPrice"] = price_text(order.trail_stop if order.is_trailing else order.aux_price)
    if order.parent_id is not None:
        row["parentId"] = order.parent_id
    if order.group is not None:
        row["ocaGroupId"] = order.group
    if order.cancel_reason and not order.is_live:
        row["order_cancellation_by_system_reason"] = order.cancel_reason
    return row


def status_row(gateway: Gateway, order: VenueOrder) -> dict[str, Any]:
    """One order's status, which never carries the client's own id."""
    contract: Contract = gateway.tape.contracts[order.conid]
    account = gateway.options.account
    background, foreground = _COLOURS[order.status]
    sizes = f"{size_text(order.filled)}/{size_text(order.remaining)}"
    row: dict[str, Any] = {
        "sub_type": None, "request_id": "1", "server_id": "0", "order_id": order.order_id,
        "conidex": str(order.conid), "conid": order.conid, "symbol": contract.symbol, "side": order.side[0],
        "contract_description_1": contract.symbol, "listing_exchange": contract.order_exchange, "option_acct": "c",
        "company_name": contract.company, "size": f"{order.remaining:.1f}", "total_size": f"{order.quantity:.1f}",
        "currency": "USD", "account": account, "order_type": _TYPES[order.order_type][0],
        "limit_price": price_text(order.limit), "cum_fill": f"{order.filled:.1f}", "order_status": order.status.value,
        "order_ccp_status": _CCP_STATUS.get(order.status, "0"),
        "order_status_description": _STATUS_WORDS.get(order.status, "Order Submitted"),
        "tif": order.time_in_force, "fg_color": foreground, "bg_color": background,
        "order_not_editable": not order.is_live, "editable_fields": "\u001e", "cannot_cancel_order": not order.is_live,
        "outside_rth": order.is_outside_rth, "deactivate_order": False, "use_price_mgmt_algo": False,
        "sec_type": "STK", "available_chart_periods": "#R|1", "order_description": _describe(order),
        "order_description_with_contract": _describe(order, contract.symbol), "alert_active": 1,
        "child_order_type": "0", "order_clearing_account": account, "size_and_fills": sizes,
        "exit_strategy_display_price": price_text(order.price), "exit_strategy_chart_description": _describe(order),
        "exit_strategy_tool_availability": "1", "allowed_duplicate_opposite": True,
        "order_time": compact_time(order.accepted_at),
    }  # fmt: skip
    if order.stop is not None:
        row["stop_price"] = price_text(order.stop)
    if order.average_price is not None:
        row["average_price"] = average_text(order.average_price)
    return row


def trade_row(gateway: Gateway, execution: Execution) -> dict[str, Any]:
    """A row of the trades; one of an order placed elsewhere has that order's `order_id` and no `order_ref`."""
    contract = gateway.tape.contracts[execution.conid]
    account = gateway.options.account
    verb = "Bought" if execution.side == "BUY" else "Sold"
    price, size = price_text(execution.price), size_text(execution.quantity)
    row: dict[str, Any] = {
        "execution_id": execution.execution_id, "symbol": contract.symbol, "supports_tax_opt": "1",
        "side": execution.side[0], "order_description": f"{verb} {size} @ {price} on {contract.exchange}",
        "trade_time": dashed_time(execution.executed_at), "trade_time_r": millis(execution.executed_at),
        "size": money(execution.quantity), "price": price, "submitter": USER, "exchange": contract.exchange,
        "commission": price_text(execution.commission),
        "net_amount": money(execution.quantity * execution.price), "account": account, "accountCode": account,
        "account_allocation_name": account, "company_name": contract.company,
        "contract_description_1": contract.symbol, "sec_type": "STK", "listing_exchange": contract.order_exchange,
        "conid": execution.conid, "conidEx": str(execution.conid), "clearing_id": "IB", "clearing_name": "IB",
        "liquidation_trade": "0", "is_event_trading": "0",
        "order_id": _order_elsewhere(execution) if execution.order_id is None else execution.order_id,
    }  # fmt: skip
    if execution.coid is not None:
        row["order_ref"] = execution.coid
    return row


def _order_elsewhere(execution: Execution) -> int:
    """The id of an order that this gateway never saw: of its execution, so that a revision keeps it."""
    return int(execution.execution_id.split(".")[-3], 16)

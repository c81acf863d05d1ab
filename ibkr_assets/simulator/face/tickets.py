"""From the body of an order request to tickets, with the refusals that come before any decision.

Numbers may be JSON numbers only: IBKR refuses texts in their place. Whether an order can be taken is `admission`'s.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from typing import Any

from ibkr_assets.simulator.face.exchange import BadRequest, Call, read_digits
from ibkr_assets.simulator.tickets import Refused, Ticket

#: Order types with the lives each may have.
_LIVES = {
    "LMT": ("DAY", "GTC", "OPG", "IOC"), "MKT": ("DAY", "GTC", "OPG", "IOC"), "STP": ("DAY", "GTC"),
    "STOP_LIMIT": ("DAY", "GTC"), "TRAIL": ("DAY", "GTC"), "TRAILLMT": ("DAY", "GTC"), "MIDPRICE": ("DAY", "GTC"),
    "MOC": ("DAY",), "LOC": ("DAY",),
}  # fmt: skip
_WITH_PRICE = ("LMT", "STP", "STOP_LIMIT", "TRAILLMT", "LOC")
_WITHOUT_PRICE = ("MKT", "MOC")
_WITH_AUX_PRICE = ("STOP_LIMIT", "TRAILLMT")
_TRAILING = ("TRAIL", "TRAILLMT")
_TEXTS = (
    "acctId", "conidex", "secType", "cOID", "parentId", "orderType", "side", "tif", "ticker", "listingExchange",
    "trailingType", "referrer", "strategy",
)  # fmt: skip
_NUMBERS = ("conid", "price", "auxPrice", "quantity", "trailingAmt", "cashQty", "fxQty")
_FLAGS = ("outsideRTH", "isSingleGroup", "allOrNone", "useAdaptive", "isCcyConv", "deactivated")
_MOST_COID_CHARACTERS = 64
_BAD_PRICES = "Invalid order price fields"
#: What a ticket of a group carries until the group has a number.
UNNUMBERED_GROUP = ""


def read_orders(call: Call) -> list[dict[str, Any]]:
    """The orders of a submit body. Raises BadRequest."""
    orders = call.json_object().get("orders")
    if not isinstance(orders, list) or not orders or not all(isinstance(order, dict) for order in orders):
        raise BadRequest("Bad Request: orders is missing or no list of orders")
    return orders


def read_tickets(call: Call, orders: list[dict[str, Any]]) -> tuple[Ticket, ...]:
    """One order, a bracket with its parent first, or a group. Raises BadRequest, or Refused as `read_ticket` does."""
    tickets = [read_ticket(call, raw) for raw in orders]
    if len(tickets) == 1 or all(ticket.group is not None for ticket in tickets):
        return tuple(tickets)
    parents = [ticket for ticket in tickets if ticket.parent_coid is None]
    if len(parents) != 1:
        raise BadRequest("Bad Request: several orders must be a bracket (one parent) or a group (isSingleGroup)")
    parent = parents[0]
    children = [ticket for ticket in tickets if ticket is not parent]
    if parent.coid is None or any(child.parent_coid != parent.coid for child in children):
        raise BadRequest("Bad Request: parentId is not the cOID of the parent in this request")
    return (parent, *children)


def read_ticket(call: Call, raw: dict[str, Any]) -> Ticket:
    """One order. Raises BadRequest for a malformed one, Refused for one that cannot be meant."""
    _check_types(raw)
    account = raw.get("acctId")
    if account is not None and account != call.gateway.options.account:
        raise BadRequest(f"accountId is not valid: {account}")
    if raw.get("side") not in ("BUY", "SELL"):
        raise BadRequest("Invalid Side (must be 'BUY' or 'SELL').")
    order_type = raw.get("orderType")
    if order_type not in _LIVES:
        raise BadRequest("Unknown order type")
    conid = _conid(raw)
    _check_contract(call, conid)
    life = raw.get("tif")
    if life not in _LIVES[order_type]:
        text = "null" if life is None else life
        raise Refused(f"{text} time in force is not supported for this order")
    coid, parent_coid = raw.get("cOID"), raw.get("parentId")
    if coid is not None and not 0 < len(coid) <= _MOST_COID_CHARACTERS:
        raise Refused(f"Local order ID is longer than {_MOST_COID_CHARACTERS} characters or empty")
    price, aux, trail, trail_unit = _prices(raw, order_type)
    cash = _decimal(raw.get("cashQty")) if raw.get("quantity") is None else None
    return Ticket(
        # IBKR keeps no name of a child's own: it is known by its parent.
        None if parent_coid is not None else coid, conid, str(raw["side"]), order_type,
        _quantity(raw, price or call.gateway.venue.last_price(conid)), price, aux, str(life),
        raw.get("outsideRTH") is True, trail, trail_unit, parent_coid,
        group=UNNUMBERED_GROUP if raw.get("isSingleGroup") is True and parent_coid is None else None, cash=cash,
    )  # fmt: skip


def _prices(raw: dict[str, Any], order_type: str) -> tuple[Decimal | None, Decimal | None, Decimal | None, str | None]:
    """Price, auxiliary price, and a trailing distance with its unit, as far as the type has them. Raises Refused."""
    price, aux = _decimal(raw.get("price")), _decimal(raw.get("auxPrice"))
    trail, unit = _decimal(raw.get("trailingAmt")), raw.get("trailingType")
    if (price is None and order_type in _WITH_PRICE) or (aux is None and order_type in _WITH_AUX_PRICE):
        raise Refused(_BAD_PRICES)
    if order_type not in _TRAILING:
        trail = unit = None
    elif trail is None or trail <= 0 or unit not in ("amt", "%") or (unit == "%" and trail >= 100):
        raise Refused(_BAD_PRICES)
    return (
        None if order_type in _WITHOUT_PRICE else price,
        aux if order_type in _WITH_AUX_PRICE else None,
        trail,
        unit,
    )


def _quantity(raw: dict[str, Any], price: Decimal) -> Decimal:
    quantity, cash = _decimal(raw.get("quantity")), _decimal(raw.get("cashQty"))
    if quantity is None and cash is not None and price:
        quantity = (cash / price).to_integral_value(ROUND_FLOOR)
    if quantity is None or quantity <= 0 or quantity != quantity.to_integral_value():
        raise Refused(f"Invalid order quantity: {raw.get('quantity')}")
    return quantity


def _check_contract(call: Call, conid: int) -> None:
    contracts = call.gateway.tape.contracts
    if conid in contracts:
        return
    if any(listing.conid == conid for contract in contracts.values() for listing in contract.others):
        raise Refused("No trading permissions.")
    raise Refused(f"no sec defs returned forSecDef reqId={conid}")


def _check_types(raw: dict[str, Any]) -> None:
    for names, kinds in ((_TEXTS, (str,)), (_NUMBERS, (int, float)), (_FLAGS, (bool,))):
        for name in names:
            value = raw.get(name)
            if value is None:
                continue
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise BadRequest(f"orders request includes parameter with incorrect type: {name}")


def _conid(raw: dict[str, Any]) -> int:
    if raw.get("conid") is not None:
        return int(raw["conid"])
    conid = read_digits(str(raw.get("conidex") or "").partition("@")[0])
    if conid is None:
        raise BadRequest("conid or conidex is required")
    return conid


def _decimal(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))

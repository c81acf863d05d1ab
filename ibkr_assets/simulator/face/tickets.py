"""From the body of an order request to a ticket, with the refusals that come before any decision.

Numbers may be JSON numbers only: IBKR refuses texts in their place. Whether an order can be taken is the venue's.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ibkr_assets.simulator.face.exchange import BadRequest, Call
from ibkr_assets.simulator.tickets import Refused, Ticket

_ORDER_TYPES = ("LMT", "MKT", "STP", "STOP_LIMIT")
_LIVES = ("DAY", "GTC", "OPG", "IOC")
_TEXTS = ("acctId", "conidex", "secType", "cOID", "parentId", "orderType", "side", "tif", "ticker", "listingExchange")
_NUMBERS = ("conid", "price", "auxPrice", "quantity")
_MOST_COID_CHARACTERS = 64


def read_orders(call: Call) -> list[dict[str, Any]]:
    """The orders of a submit body. Raises BadRequest."""
    orders = call.json_object().get("orders")
    if not isinstance(orders, list) or not orders or not all(isinstance(order, dict) for order in orders):
        raise BadRequest("Bad Request: orders is missing or no list of orders")
    return orders


def read_ticket(call: Call, raw: dict[str, Any]) -> Ticket:
    """One order. Raises BadRequest for a malformed one, Refused for one that cannot be meant."""
    _check_types(raw)
    account = raw.get("acctId")
    if account is not None and account != call.gateway.options.account:
        raise BadRequest(f"accountId is not valid: {account}")
    if raw.get("side") not in ("BUY", "SELL"):
        raise BadRequest("Invalid Side (must be 'BUY' or 'SELL').")
    if raw.get("orderType") not in _ORDER_TYPES:
        raise BadRequest("Unknown order type")
    conid = _conid(raw)
    if conid not in call.gateway.tape.contracts:
        raise Refused(f"no sec defs returned forSecDef reqId={conid}")
    life = raw.get("tif")
    if life not in _LIVES:
        text = "null" if life is None else life
        raise Refused(f"{text} time in force is not supported for this order")
    coid = raw.get("cOID")
    if coid is not None and not 0 < len(coid) <= _MOST_COID_CHARACTERS:
        raise Refused(f"Local order ID is longer than {_MOST_COID_CHARACTERS} characters or empty")
    quantity = _decimal(raw.get("quantity"))
    if quantity is None or quantity <= 0 or quantity != quantity.to_integral_value():
        raise Refused(f"Invalid order quantity: {raw.get('quantity')}")
    order_type = str(raw["orderType"])
    price, aux = _decimal(raw.get("price")), _decimal(raw.get("auxPrice"))
    if (price is None and order_type != "MKT") or (aux is None and order_type == "STOP_LIMIT"):
        raise Refused("Invalid order price fields")
    return Ticket(
        coid, conid, str(raw["side"]), order_type, quantity, None if order_type == "MKT" else price,
        aux if order_type == "STOP_LIMIT" else None, str(life), raw.get("outsideRTH") is True,
    )  # fmt: skip


def _check_types(raw: dict[str, Any]) -> None:
    for names, kinds in ((_TEXTS, str), (_NUMBERS, (int, float))):
        for name in names:
            value = raw.get(name)
            if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
                raise BadRequest(f"orders request includes parameter with incorrect type: {name}")


def _conid(raw: dict[str, Any]) -> int:
    if raw.get("conid") is not None:
        return int(raw["conid"])
    head = str(raw.get("conidex") or "").partition("@")[0]
    if not head.isdigit():
        raise BadRequest("conid or conidex is required")
    return int(head)


def _decimal(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))

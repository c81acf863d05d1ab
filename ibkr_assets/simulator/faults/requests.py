"""What a submitted order asks for, as a fault reads it: without the checks that the handlers make.

A request that cannot be read this way is none that a fault strikes; whether an order is taken is the venue's work.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from ibkr_assets.simulator.faults.fault import Situation
from ibkr_assets.simulator.tickets import Ticket


def orders_of(situation: Situation) -> list[dict[str, Any]]:
    """The orders of a submit body; empty where it holds none."""
    try:
        body = json.loads(situation.body)
    except ValueError:
        return []
    orders = body.get("orders") if isinstance(body, dict) else None
    return [order for order in orders if isinstance(order, dict)] if isinstance(orders, list) else []


def has_order(situation: Situation) -> bool:
    """True for a submit body with an order on a contract of the tape."""
    orders = orders_of(situation)
    return bool(orders) and orders[0].get("conid") in situation.gateway.tape.contracts


def ticket_of(situation: Situation) -> Ticket:
    """The first order of a submit body."""
    raw = orders_of(situation)[0]
    return Ticket(
        coid=raw.get("cOID"), conid=int(raw["conid"]), side=str(raw["side"]), order_type=str(raw["orderType"]),
        quantity=Decimal(str(raw["quantity"])), price=_decimal(raw.get("price")),
        aux_price=_decimal(raw.get("auxPrice")), time_in_force=str(raw["tif"]),
    )  # fmt: skip


def _decimal(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))

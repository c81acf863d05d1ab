"""One thing that happened at the venue, and its row in the ledger.

The venue's whole state follows from its records in order (`book`), so the file of them (`ledger`) is all a restarted
gateway needs. Rows of the kinds in `LEDGER_EVENTS` are the public ledger; the others only rebuild the state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

#: What the public ledger lists, in order and numbered without gaps.
LEDGER_EVENTS = ("accept", "reject", "question", "reply", "fill", "cancel", "bust", "dup_refused")
#: What else changes the state: an order begins to work or is changed, what a company or a person does, the clock,
#: a gateway that forgets which cOIDs it has seen.
STATE_EVENTS = ("work", "modify", "split", "dividend", "payment", "position", "clock", "forget")
#: Records that are made only when everything up to their time has happened. The others may stand in the middle of
#: an open, a minute or a close that a crash cut short, and that must then happen again.
ENDS_A_MOMENT = frozenset(
    {"clock", "accept", "modify", "reject", "question", "reply", "dup_refused", "position", "bust"}
)


@dataclass(frozen=True, slots=True)
class Record:
    """`at` is market time, aware UTC; `detail` holds JSON values only and what the other fields do not say."""

    event: str
    at: datetime
    coid: str | None = None
    order_id: int | None = None
    account: str | None = None
    conid: int | None = None
    side: str | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    execution_id: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


def row_of(record: Record, *, seq: int | None) -> dict[str, Any]:
    """The ledger row: facts of the market alone. Quantities and prices are JSON numbers that read back exactly."""
    return {
        "seq": seq,
        "t_virtual": record.at.isoformat(),
        "event": record.event,
        "coid": record.coid,
        "order_id": record.order_id,
        "account": record.account,
        "conid": record.conid,
        "side": record.side,
        "qty": _number(record.quantity),
        "price": _number(record.price),
        "exec_id": record.execution_id,
        "detail": record.detail,
    }


def record_of(row: dict[str, Any]) -> Record:
    """The record a row was made of."""
    return Record(
        event=row["event"],
        at=datetime.fromisoformat(row["t_virtual"]),
        coid=row["coid"],
        order_id=row["order_id"],
        account=row["account"],
        conid=row["conid"],
        side=row["side"],
        quantity=_decimal(row["qty"]),
        price=_decimal(row["price"]),
        execution_id=row["exec_id"],
        detail=row["detail"],
    )


def _number(value: Decimal | None) -> int | float | None:
    if value is None:
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def _decimal(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))

"""Order intents as rows and as stored text, both ways.

What goes here: the vocabulary between `domain.order` and the columns of `oms.order_intent`. What does not: queries
that decide or change anything (`intents`, `sends`, `executions`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from ibkr_assets.domain.order import Mode, OrderIntent, OrderState, OrderType, Side, TimeInForce
from ibkr_assets.ports import IntentRecord

INTENT_FIELDS = tuple(field.name for field in fields(OrderIntent))

RECORD_COLUMNS = (
    *INTENT_FIELDS,
    "intent_id", "client_order_id", "state", "version", "filled", "average_price", "broker_order_id", "reason",
    "send_count",
)  # fmt: skip


def record_columns(alias: str) -> str:
    """The columns that `read_record` needs, for a SELECT list."""
    return ", ".join(f"{alias}.{name}" for name in RECORD_COLUMNS)


def intent_values(intent: OrderIntent) -> dict[str, Any]:
    """The intent's own columns, ready as query parameters."""
    return {name: getattr(intent, name) for name in INTENT_FIELDS}


def intent_text(intent: OrderIntent) -> dict[str, Any]:
    """The intent as JSON can carry it; `read_intent` gives an equal intent back."""
    values = intent_values(intent)
    return {name: _text(value) for name, value in values.items()}


def read_intent(row: Mapping[str, Any]) -> OrderIntent:
    """An intent from a row of the table or from what `intent_text` wrote. All instants come back in UTC."""
    limit = row["limit_price"]
    return OrderIntent(
        strategy_id=row["strategy_id"],
        account_ref=row["account_ref"],
        mode=Mode(row["mode"]),
        conid=row["conid"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        order_type=OrderType(row["order_type"]),
        quantity=plain(Decimal(row["quantity"])),
        limit_price=None if limit is None else plain(Decimal(limit)),
        time_in_force=TimeInForce(row["time_in_force"]),
        reference_price=plain(Decimal(row["reference_price"])),
        session_date=_day(row["session_date"]),
        signal_bar_end=_instant(row["signal_bar_end"]),
        valid_until=_instant(row["valid_until"]),
        purpose=row["purpose"],
        leg=row["leg"],
        generation=row["generation"],
    )


def read_record(row: Mapping[str, Any], *, is_new: bool = False) -> IntentRecord:
    """The stored record of an intent, from a row that holds `RECORD_COLUMNS`."""
    average = row["average_price"]
    return IntentRecord(
        intent_id=str(row["intent_id"]),
        intent=read_intent(row),
        client_order_id=row["client_order_id"],
        state=OrderState(row["state"]),
        version=row["version"],
        filled=plain(row["filled"]),
        average_price=None if average is None else plain(average),
        broker_order_id=row["broker_order_id"],
        reason=row["reason"],
        send_count=row["send_count"],
        is_new=is_new,
    )


def plain(number: Decimal) -> Decimal:
    """The same number without the trailing zeros of its column, and never in exponent form."""
    short = number.normalize()
    return short if short.as_tuple().exponent <= 0 else short.quantize(Decimal(1))  # type: ignore[operator]


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int) or value is None:
        return value
    return str(value)


def _instant(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment.astimezone(UTC)


def _day(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)

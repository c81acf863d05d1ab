"""One move of one intent, and the wire call that goes with it.

What goes here: the single UPDATE through which a sent order changes. What does not: when to move (`execution`), and
what may (the guards of the database).
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.batch import Statement
from ibkr_assets.adapters.postgres.order_rows import read_record, record_columns
from ibkr_assets.domain.errors import LedgerConflict
from ibkr_assets.domain.ledger import CallKind, CallOutcome
from ibkr_assets.domain.order import OrderState
from ibkr_assets.ports import IntentRecord

#: The longest part of an answer's text that is kept.
ANSWER_CHARACTERS = 2000

_MOVE = f"""
update oms.order_intent i set
  state = %(state)s, version = i.version + 1, epoch = coalesce(%(epoch)s, i.epoch),
  cause = %(cause)s, cause_detail = %(detail)s,
  reason = coalesce(%(reason)s, i.reason),
  broker_order_id = coalesce(i.broker_order_id, %(broker_order_id)s),
  send_count = i.send_count + %(sends)s,
  filled = coalesce(%(filled)s, i.filled), average_price = coalesce(%(average_price)s, i.average_price)
where i.intent_id = %(intent_id)s and i.version = %(version)s
returning {record_columns("i")}
"""  # noqa: S608 - column names come from the dataclass

_OPEN_CALL = """
insert into oms.wire_call (intent_id, kind, send_number, epoch, request, request_sha256, market_at)
values (%(intent)s, %(kind)s, %(send_number)s, %(epoch)s, %(request)s, %(sha256)s, %(market_at)s) returning call_id
"""
_CLOSE_CALL = """
update oms.wire_call set outcome = %(outcome)s, http_status = %(http_status)s, answer = %(answer)s,
  done_at = clock_timestamp()
where call_id = %(call)s
"""


def move(
    cursor: psycopg.Cursor[DictRow],
    record: IntentRecord,
    state: OrderState,
    *,
    epoch: int | None,
    cause: str,
    reason: str | None = None,
    detail: dict[str, Any] | None = None,
    broker_order_id: str | None = None,
    sends: int = 0,
    filled: Decimal | None = None,
    average_price: Decimal | None = None,
) -> IntentRecord:
    """Move an intent on from exactly the version the caller has seen. Raises LedgerConflict when it has moved."""
    statement = move_statement(
        record, state, epoch=epoch, cause=cause, reason=reason, detail=detail, broker_order_id=broker_order_id,
        sends=sends, filled=filled, average_price=average_price,
    )  # fmt: skip
    return moved(record, cursor.execute(*statement).fetchall())


def move_statement(
    record: IntentRecord,
    state: OrderState,
    *,
    epoch: int | None,
    cause: str,
    reason: str | None = None,
    detail: dict[str, Any] | None = None,
    broker_order_id: str | None = None,
    sends: int = 0,
    filled: Decimal | None = None,
    average_price: Decimal | None = None,
) -> Statement:
    """Moves an intent on from the version the caller has seen; `moved` reads its rows, in the same transaction."""
    return _MOVE, {
        "state": state, "epoch": epoch, "cause": cause, "reason": reason, "detail": Jsonb(detail or {}),
        "broker_order_id": broker_order_id, "sends": sends, "filled": filled, "average_price": average_price,
        "intent_id": record.intent_id, "version": record.version,
    }  # fmt: skip


def moved(record: IntentRecord, rows: list[DictRow]) -> IntentRecord:
    """Where the move led. Raises LedgerConflict when the intent had moved on before."""
    if not rows:
        raise LedgerConflict(f"{record.client_order_id} has moved on from version {record.version}")
    return read_record(rows[0])


def open_call(
    record: IntentRecord,
    kind: CallKind,
    *,
    send_number: int,
    epoch: int,
    request: dict[str, Any],
    market_at: datetime,
) -> Statement:
    """Writes the call that is about to be made, and returns its `call_id`."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return _OPEN_CALL, {
        "intent": record.intent_id, "kind": kind, "send_number": send_number, "epoch": epoch,
        "request": Jsonb(request), "sha256": hashlib.sha256(text.encode()).hexdigest(), "market_at": market_at,
    }  # fmt: skip


def close_call(call_id: int, outcome: CallOutcome, *, http_status: int | None, answer: str) -> Statement:
    """Writes what the call came to; done once."""
    said = answer.replace("\x00", "")[:ANSWER_CHARACTERS]
    return _CLOSE_CALL, {"outcome": outcome, "http_status": http_status, "answer": said, "call": call_id}

"""Executions into the ledger: each counted once, corrections as revisions, and what they do to their order.

What goes here: the rows and the consequences that must be in the same transaction (filled, FILLED, an alarm). What
does not: reading executions from the broker, and the account's books (`account_rows`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import DictRow

from ibkr_assets.adapters.postgres.differences import store_break
from ibkr_assets.adapters.postgres.moves import move
from ibkr_assets.adapters.postgres.order_rows import plain, read_record, record_columns
from ibkr_assets.adapters.postgres.permission_rows import store_kill
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.account import Fill, split_execution_id
from ibkr_assets.domain.ledger import Blocks, Break, FillsSaved
from ibkr_assets.domain.order import CLIENT_ORDER_ID_PREFIX, OrderState, Side
from ibkr_assets.ports import IntentRecord

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

#: The revision of an execution that vanished from the broker's list: above any that IBKR's two digits can name.
_BUST_REVISION = 100

_INSERT = """
insert into oms.execution (account_ref, execution_root, revision, execution_id, intent_id, client_order_id,
  broker_order_id, conid, symbol, side, quantity, price, commission, executed_at)
values (%(ref)s, %(root)s, %(revision)s, %(execution_id)s, %(intent_id)s, %(client_order_id)s, %(broker_order_id)s,
  %(conid)s, %(symbol)s, %(side)s, %(quantity)s, %(price)s, %(commission)s, %(executed_at)s)
on conflict do nothing
"""

_STANDING = """
select execution_id, client_order_id, broker_order_id, conid, symbol, side, quantity, price, commission, executed_at
from oms.execution_current where account_ref = %s and executed_at >= %s and quantity > 0 order by executed_at
"""

_OF_INSTRUMENT = """
select execution_id, client_order_id, broker_order_id, conid, symbol, side, quantity, price, commission, executed_at
from oms.execution_current where account_ref = %s and conid = %s and executed_at > %s and quantity > 0
order by executed_at, execution_id
"""

_S = OrderState
_NEVER_LEFT = frozenset({_S.PROPOSED, _S.DENIED, _S.APPROVED, _S.EXPIRED_UNSENT})
_ENDED_BY_BROKER = frozenset({_S.CANCELLED, _S.REJECTED, _S.NOT_PLACED})
_TO_WORKING = _ENDED_BY_BROKER | {_S.ACKED, _S.UNKNOWN}
_IN_FLIGHT = frozenset({_S.SUBMITTING, _S.QUESTION, _S.CONFIRMING})


class PostgresExecutions:
    """The executions of one account."""

    def __init__(self, database: Database, account_ref: str) -> None:
        self._database = database
        self._account_ref = account_ref

    def save_fills(self, fills: Sequence[Fill], *, epoch: int) -> FillsSaved:
        """Store executions and move their orders, in one transaction. What is stored already changes nothing."""
        new, revised, foreign = 0, 0, []
        with transaction(self._database) as cursor:
            touched: dict[str, str] = {}
            stored = self._insert(cursor, [(fill, *split_execution_id(fill.execution_id)) for fill in fills])
            for fill, root, intent_id, is_revision in stored:
                new, revised = new + (not is_revision), revised + is_revision
                if is_revision:
                    kind = "execution_revised" if fill.quantity > 0 else "execution_busted"
                    self._alarm(cursor, kind, root, Blocks.NOTHING, fill, intent_id)
                if intent_id is not None:
                    touched[intent_id] = fill.broker_order_id
                elif (fill.client_order_id or "").startswith(CLIENT_ORDER_ID_PREFIX):
                    self._alarm(cursor, "execution_without_intent", root, Blocks.ACCOUNT, fill, None)
                else:
                    foreign.append(fill.conid)
            for intent_id, broker_order_id in touched.items():
                self._follow(cursor, intent_id, broker_order_id, epoch)
        return FillsSaved(new=new, revised=revised, foreign_conids=tuple(foreign))

    def of_instrument(self, conid: int, *, since: datetime) -> list[Fill]:
        """What stands in the ledger of one instrument, executed after `since`."""
        with transaction(self._database) as cursor:
            rows = cursor.execute(_OF_INSTRUMENT, (self._account_ref, conid, since)).fetchall()
        return [read_fill(row) for row in rows]

    def missing_from(self, fills: Sequence[Fill], *, since: datetime) -> list[Fill]:
        """Executions of `since` or later that stand in the ledger and are not among `fills` in any revision."""
        with transaction(self._database) as cursor:
            rows = cursor.execute(_STANDING, (self._account_ref, since)).fetchall()
        listed = {split_execution_id(fill.execution_id)[0] for fill in fills}
        return [read_fill(row) for row in rows if split_execution_id(row["execution_id"])[0] not in listed]

    def save_busts(self, busted: Sequence[Fill], *, epoch: int) -> int:
        """Store that the broker took these executions back, and move their orders. Returns how many were new."""
        nothing = [replace(fill, quantity=Decimal(0), commission=Decimal(0)) for fill in busted]
        by_id = {fill.execution_id: fill for fill in busted}
        with transaction(self._database) as cursor:
            touched: dict[str, str] = {}
            rows = [(fill, split_execution_id(fill.execution_id)[0], _BUST_REVISION) for fill in nothing]
            stored = self._insert(cursor, rows)
            for fill, root, intent_id, _ in stored:
                self._alarm(cursor, "execution_busted", root, Blocks.NOTHING, by_id[fill.execution_id], intent_id)
                if intent_id is not None:
                    touched[intent_id] = fill.broker_order_id
            for intent_id, broker_order_id in touched.items():
                self._follow(cursor, intent_id, broker_order_id, epoch)
        return len(stored)

    def _insert(
        self, cursor: psycopg.Cursor[DictRow], rows: Sequence[tuple[Fill, str, int]]
    ) -> list[tuple[Fill, str, str | None, bool]]:
        """Store executions as (fill, root, revision). Returns those that were not there: root, intent, is a revision.

        A negative quantity takes back what was there before, commission included; one of zero is as it says.
        """
        known = self._revisions(cursor, [root for _, root, _ in rows])
        intents = self._intents(cursor, [fill for fill, _, _ in rows])
        stored, values = [], []
        for fill, root, revision in rows:
            revisions = known.setdefault(root, set())
            if revision in revisions:
                continue
            ours = fill.client_order_id
            intent_id = intents.get(("", fill.broker_order_id) if ours is None else ours)
            stored.append((fill, root, intent_id, bool(revisions)))
            values.append(self._values(fill, root, revision, intent_id))
            revisions.add(revision)
        if values:
            cursor.executemany(_INSERT, values)
        return stored

    def _revisions(self, cursor: psycopg.Cursor[DictRow], roots: Sequence[str]) -> dict[str, set[int]]:
        found = cursor.execute(
            "select execution_root, array_agg(revision) as revisions from oms.execution "
            "where account_ref = %s and execution_root = any(%s) group by execution_root",
            (self._account_ref, list(roots)),
        ).fetchall()
        return {row["execution_root"]: set(row["revisions"]) for row in found}

    def _intents(self, cursor: psycopg.Cursor[DictRow], fills: Sequence[Fill]) -> dict[str | tuple[str, str], str]:
        """Ids of the intents of these executions: by our id, or by the broker's where an execution has none."""
        found = cursor.execute(
            "select intent_id, client_order_id, broker_order_id from oms.order_intent where account_ref = %s "
            "and (client_order_id = any(%s) or broker_order_id = any(%s))",
            (
                self._account_ref,
                [fill.client_order_id for fill in fills if fill.client_order_id is not None],
                [fill.broker_order_id for fill in fills if fill.client_order_id is None],
            ),
        ).fetchall()
        by_ours = {row["client_order_id"]: str(row["intent_id"]) for row in found}
        return by_ours | {("", row["broker_order_id"]): str(row["intent_id"]) for row in found}

    def _values(self, fill: Fill, root: str, revision: int, intent_id: str | None) -> dict[str, Any]:
        stands = fill.quantity >= 0
        return {
            "ref": self._account_ref,
            "root": root,
            "revision": revision,
            "execution_id": fill.execution_id,
            "intent_id": intent_id,
            "client_order_id": fill.client_order_id,
            "broker_order_id": fill.broker_order_id,
            "conid": fill.conid,
            "symbol": fill.symbol,
            "side": fill.side,
            "quantity": fill.quantity if stands else Decimal(0),
            "price": fill.price,
            "commission": fill.commission if stands else Decimal(0),
            "executed_at": fill.executed_at,
        }

    def _follow(self, cursor: psycopg.Cursor[DictRow], intent_id: str, broker_order_id: str, epoch: int) -> None:
        """Bring the order in line with the sum of its executions."""
        query = f"select {record_columns('i')} from oms.order_intent i where intent_id = %s for update"  # noqa: S608
        row = cursor.execute(query, (intent_id,)).fetchone()
        assert row is not None
        record = read_record(row)
        total = cursor.execute(
            "select coalesce(sum(quantity), 0) as quantity, sum(quantity * price) as value, "
            "count(distinct broker_order_id) as orders from oms.execution_current where intent_id = %s",
            (intent_id,),
        ).fetchone()
        assert total is not None
        filled = plain(total["quantity"])
        average = plain(round(total["value"] / filled, 8)) if filled else Decimal(0)
        if record.state is OrderState.APPROVED and record.send_count:  # it waited to be sent again
            reason = "at the broker after all"
            record = move(cursor, record, OrderState.NOT_PLACED, epoch=epoch, cause="late arrival", reason=reason)
        state = _state_after(record, filled)
        if record.state in _NEVER_LEFT:
            self._order_alarm(cursor, "filled_without_send", record, filled)
            return
        if total["orders"] > 1 or (record.broker_order_id or broker_order_id) != broker_order_id:
            self._order_alarm(cursor, "duplicate_order", record, filled)
            self._kill(cursor, f"{record.client_order_id} has executions of more than one broker order")
        if filled > record.intent.quantity:
            self._order_alarm(cursor, "over_fill", record, filled)
            self._kill(cursor, f"{record.client_order_id} filled {filled} of {record.intent.quantity}")
        if record.state in _ENDED_BY_BROKER and state is not record.state:
            self._order_alarm(cursor, "ended_order_filled", record, filled, blocks=Blocks.NOTHING)
        move(
            cursor,
            record,
            state,
            epoch=epoch,
            cause="executions",
            reason=_reason_of(record, state, filled),
            detail={"filled": str(filled), "average_price": str(average)},
            broker_order_id=broker_order_id,
            filled=filled,
            average_price=average,
        )

    def _alarm(
        self,
        cursor: psycopg.Cursor[DictRow],
        kind: str,
        subject: str,
        blocks: Blocks,
        fill: Fill,
        intent_id: str | None,
    ) -> None:
        detail = {"execution_id": fill.execution_id, "quantity": str(fill.quantity), "price": str(fill.price)}
        found = Break(kind, subject, blocks, detail, conid=fill.conid, intent_id=intent_id)
        store_break(cursor, self._account_ref, found)

    def _order_alarm(
        self,
        cursor: psycopg.Cursor[DictRow],
        kind: str,
        record: IntentRecord,
        filled: Decimal,
        *,
        blocks: Blocks = Blocks.ACCOUNT,
    ) -> None:
        detail = {"state": str(record.state), "filled": str(filled), "quantity": str(record.intent.quantity)}
        found = Break(
            kind, record.client_order_id, blocks, detail, conid=record.intent.conid, intent_id=record.intent_id
        )
        store_break(cursor, self._account_ref, found)

    def _kill(self, cursor: psycopg.Cursor[DictRow], reason: str) -> None:
        store_kill(cursor, self._account_ref, reason, actor="submitter")


def read_fill(row: dict[str, Any]) -> Fill:
    """One stored execution."""
    return Fill(
        execution_id=row["execution_id"],
        client_order_id=row["client_order_id"],
        broker_order_id=row["broker_order_id"],
        conid=row["conid"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        quantity=plain(row["quantity"]),
        price=plain(row["price"]),
        commission=plain(row["commission"]),
        executed_at=row["executed_at"],
    )


def _reason_of(record: IntentRecord, state: OrderState, filled: Decimal) -> str | None:
    if state is OrderState.FILLED:
        return ""
    if record.state is OrderState.FILLED:
        return f"the broker took executions back: {filled} of {record.intent.quantity} stand"
    return None


def _state_after(record: IntentRecord, filled: Decimal) -> OrderState:
    if record.state in _IN_FLIGHT:
        return record.state
    if filled >= record.intent.quantity:
        return OrderState.FILLED
    if record.state is OrderState.FILLED:
        return OrderState.CANCELLED
    if filled > 0 and record.state in _TO_WORKING:
        return OrderState.WORKING
    return record.state

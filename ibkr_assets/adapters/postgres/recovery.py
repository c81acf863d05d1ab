"""What a ledger that came back from a backup takes over from the broker, as rows.

What goes here: the open restoration, and an order of ours that the backup did not know. What does not: deciding which
orders those are (`execution.recovery`), and backups themselves (`backup`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.moves import move
from ibkr_assets.adapters.postgres.order_rows import INTENT_FIELDS, intent_values, read_record, record_columns
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.order import OrderState
from ibkr_assets.domain.recovery import Restoration

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database
    from ibkr_assets.domain.order import OrderIntent
    from ibkr_assets.ports import IntentRecord

#: In place of the hash of a payload that nobody has: the same decision, made again, is answered with this order.
ADOPTED = "adopted"

_INSERT = f"""
insert into oms.order_intent ({", ".join(INTENT_FIELDS)}, decision_key, client_order_id, payload_sha256, state,
                              cause, created_by)
values ({", ".join(f"%({name})s" for name in INTENT_FIELDS)}, %(decision_key)s, %(client_order_id)s,
        '{ADOPTED}', 'PROPOSED', 'restore', 'restore')
returning {record_columns("order_intent")}
"""  # noqa: S608 - column names come from the dataclass
_ADOPTION = """
insert into oms.adoption (intent_id, restoration_id, was_state, is_attributed, evidence)
values (%(intent)s, %(restoration)s, %(was)s, %(is_attributed)s, %(evidence)s)
"""
_RESERVE = """
insert into oms.reservation (intent_id, account_ref, conid, quantity, notional_usd)
values (%(intent)s, %(account)s, %(conid)s, %(quantity)s, %(notional)s)
"""
_REPORT = """
select i.client_order_id, i.strategy_id, i.symbol, i.side, i.quantity, i.filled, i.state, i.broker_order_id,
  a.was_state, a.is_attributed, a.adopted_at
from oms.adoption a join oms.order_intent i using (intent_id)
where a.restoration_id = %s order by a.adopted_at, i.client_order_id
"""


class PostgresRecovery:
    """The recovery rows of one account."""

    def __init__(self, database: Database, account_ref: str) -> None:
        self._database = database
        self._account_ref = account_ref

    def open_restoration(self) -> Restoration | None:
        """The restoration that was not resumed since, or None."""
        with transaction(self._database) as cursor:
            row = cursor.execute(
                "select restoration_id, backup_taken_at, restored_at from oms.restoration where resumed_at is null"
            ).fetchone()
        return None if row is None else Restoration(**row)

    def strategies(self) -> list[str]:
        """Ids of all strategies that the backup knows, also of those that only ever ordered."""
        with transaction(self._database) as cursor:
            rows = cursor.execute(
                "select id from research.strategy union select strategy_id from oms.order_intent "
                "where account_ref = %s order by 1",
                (self._account_ref,),
            ).fetchall()
        return [row["id"] for row in rows]

    def adopt(
        self,
        restoration: Restoration,
        intent: OrderIntent,
        client_order_id: str,
        *,
        is_attributed: bool,
        evidence: dict[str, Any],
    ) -> IntentRecord:
        """Take over an order that the ledger does not know, as one in doubt; `evidence` is what the broker shows.

        Its decision is known where `is_attributed`. Raises LedgerConflict where no restoration is open any more.
        """
        key = intent.decision_key if is_attributed else f"{ADOPTED}|{client_order_id}"
        values = intent_values(intent) | {"decision_key": key, "client_order_id": client_order_id}
        price = intent.limit_price or intent.reference_price
        with transaction(self._database) as cursor:
            row = cursor.execute(_INSERT, values).fetchone()
            assert row is not None
            record = read_record(row, is_new=True)
            _note(cursor, restoration, record, was=None, is_attributed=is_attributed, evidence=evidence)
            cursor.execute(
                _RESERVE,
                {
                    "intent": record.intent_id, "account": self._account_ref, "conid": intent.conid,
                    "quantity": intent.quantity, "notional": intent.quantity * price,
                },
            )  # fmt: skip
            return _doubt(cursor, record, epoch=None)

    def adopt_unsent(
        self, restoration: Restoration, record: IntentRecord, *, epoch: int, evidence: dict[str, Any]
    ) -> IntentRecord:
        """Put an order in doubt that was only approved when the backup was taken, and has left since."""
        with transaction(self._database) as cursor:
            _note(cursor, restoration, record, was=record.state, is_attributed=True, evidence=evidence)
            return _doubt(cursor, record, epoch=epoch)

    def report(self) -> dict[str, Any] | None:
        """The newest restoration and the orders that were taken over since, or None where there never was one."""
        with transaction(self._database) as cursor:
            restored = cursor.execute(
                "select * from oms.restoration order by restoration_id desc limit 1"
            ).fetchone()  # fmt: skip
            if restored is None:
                return None
            adopted = cursor.execute(_REPORT, (restored["restoration_id"],)).fetchall()
            found = cursor.execute(
                "select kind, subject, blocks from oms.recon_break where resolved_at is null order by break_id"
            ).fetchall()
        return {**restored, "adopted": adopted, "open_differences": found}


def _note(
    cursor: psycopg.Cursor[DictRow],
    restoration: Restoration,
    record: IntentRecord,
    *,
    was: OrderState | None,
    is_attributed: bool,
    evidence: dict[str, Any],
) -> None:
    values = {"intent": record.intent_id, "restoration": restoration.restoration_id, "was": was}
    cursor.execute(_ADOPTION, {**values, "is_attributed": is_attributed, "evidence": Jsonb(evidence)})


def _doubt(cursor: psycopg.Cursor[DictRow], record: IntentRecord, *, epoch: int | None) -> IntentRecord:
    reason = "at the broker, and not in the backup that the ledger was restored from"
    return move(cursor, record, OrderState.UNKNOWN, epoch=epoch, cause="restore", reason=reason)

"""Reconciliation runs and the differences they find.

A difference is one row while it is open; finding it again writes nothing, and when it is gone it is closed, not
deleted. What a difference keeps from trading is in its row and is read by `sends.held_back_by`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.ledger import Blocks, Break

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database


def store_break(cursor: psycopg.Cursor[DictRow], account_ref: str, found: Break) -> bool:
    """Store a difference unless the same one is open. Returns True when it is a new one."""
    cursor.execute(
        "insert into oms.recon_break (account_ref, kind, subject, blocks, conid, intent_id, detail) "
        "values (%s, %s, %s, %s, %s, %s, %s) "
        "on conflict (account_ref, kind, subject) where resolved_at is null do nothing",
        (account_ref, found.kind, found.subject, found.blocks, found.conid, found.intent_id, Jsonb(found.detail)),
    )
    return cursor.rowcount == 1


class PostgresDifferences:
    """The reconciliation rows of one account."""

    def __init__(self, database: Database, account_ref: str) -> None:
        self._database = database
        self._account_ref = account_ref

    def open_run(self, kind: str, *, epoch: int, gateway_session: str) -> int:
        """Begin a run of kind `start` or `watch`. Returns its id."""
        with transaction(self._database) as cursor:
            row = cursor.execute(
                "insert into oms.recon_run (account_ref, epoch, kind, gateway_session) values (%s, %s, %s, %s) "
                "returning run_id",
                (self._account_ref, epoch, kind, gateway_session),
            ).fetchone()
        assert row is not None
        return int(row["run_id"])

    def close_run(
        self,
        run_id: int,
        *,
        is_clean: bool,
        market_at: datetime,
        orders_seen: int,
        trades_seen: int,
        report: dict[str, Any] | None = None,
        answers: Sequence[int] = (),
    ) -> None:
        """End a run with what it saw, and answer the requests that it was made for."""
        with transaction(self._database) as cursor:
            cursor.execute(
                "update oms.recon_run set finished_at = clock_timestamp(), is_clean = %(is_clean)s, "
                "market_at = %(market_at)s, orders_seen = %(orders)s, trades_seen = %(trades)s, report = %(report)s, "
                "breaks_open = (select count(*) from oms.recon_break b where b.account_ref = %(ref)s "
                "and b.resolved_at is null) where run_id = %(run)s",
                {
                    "is_clean": is_clean,
                    "market_at": market_at,
                    "orders": orders_seen,
                    "trades": trades_seen,
                    "report": Jsonb(report),
                    "ref": self._account_ref,
                    "run": run_id,
                },
            )
            cursor.execute(
                "update oms.recon_request set run_id = %s, answered_at = clock_timestamp() "
                "where request_id = any(%s) and answered_at is null",
                (run_id, list(answers)),
            )

    def open_requests(self) -> list[int]:
        """Ids of what people asked to have reconciled and what was not answered yet."""
        with transaction(self._database) as cursor:
            rows = cursor.execute(
                "select request_id from oms.recon_request where account_ref = %s and answered_at is null",
                (self._account_ref,),
            ).fetchall()
        return [row["request_id"] for row in rows]

    def save_break(self, found: Break, *, unless_equal: Sequence[str] = ()) -> bool:
        """Store a difference unless the same one is open. Returns True when it is a new one.

        An open one whose detail differs in one of `unless_equal` gets the new detail: it is what a person will see.
        """
        with transaction(self._database) as cursor:
            is_new = store_break(cursor, self._account_ref, found)
            if not is_new and unless_equal:
                cursor.execute(
                    "update oms.recon_break set detail = %(detail)s where account_ref = %(ref)s and kind = %(kind)s "
                    "and subject = %(subject)s and resolved_at is null and exists ("
                    "select from unnest(%(names)s::text[]) as n (name) "
                    "where detail ->> n.name is distinct from %(detail)s::jsonb ->> n.name)",
                    {
                        "detail": Jsonb(found.detail),
                        "ref": self._account_ref,
                        "kind": found.kind,
                        "subject": found.subject,
                        "names": list(unless_equal),
                    },
                )
            return is_new

    def resolve(self, kind: str, *, keep: Collection[str], resolved_by: str) -> int:
        """Close the open differences of this kind whose subject is not in `keep`. Returns how many."""
        with transaction(self._database) as cursor:
            cursor.execute(
                "update oms.recon_break set resolved_by = %s, resolved_at = clock_timestamp() "
                "where account_ref = %s and kind = %s and resolved_at is null and not subject = any(%s)",
                (resolved_by, self._account_ref, kind, list(keep)),
            )
            return cursor.rowcount

    def open_breaks(self) -> list[Break]:
        """The differences that are open now, oldest first."""
        with transaction(self._database) as cursor:
            rows = cursor.execute(
                "select kind, subject, blocks, conid, intent_id, detail from oms.recon_break "
                "where account_ref = %s and resolved_at is null order by break_id",
                (self._account_ref,),
            ).fetchall()
        return [
            Break(
                kind=row["kind"],
                subject=row["subject"],
                blocks=Blocks(row["blocks"]),
                detail=row["detail"],
                conid=row["conid"],
                intent_id=None if row["intent_id"] is None else str(row["intent_id"]),
            )
            for row in rows
        ]

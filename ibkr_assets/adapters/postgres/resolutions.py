"""What people do about differences: look at them, ask for a reconciliation, and resolve one with a reason.

What goes here: rows that an operator's command writes and reads. What does not: finding differences (`differences`),
and what a resolution does to the books, which is the database's own work in the same transaction.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.errors import InputError, LedgerConflict

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

_BREAKS = """
select b.break_id, b.kind, b.subject, b.blocks, b.conid, i.client_order_id, b.detail, b.found_at, b.resolved_by,
  b.resolved_at, coalesce(r.is_adopted, false) as is_adopted
from oms.recon_break b left join oms.order_intent i using (intent_id) left join oms.break_resolution r using (break_id)
where b.account_ref = %s and (%s or b.resolved_at is null) order by b.break_id
"""

_RUN = """
select r.run_id, r.is_clean, r.started_at, r.finished_at, r.market_at, r.gateway_session, r.epoch, r.orders_seen,
  r.trades_seen, r.report
from oms.recon_request q join oms.recon_run r using (run_id) where q.request_id = %s
"""


class PostgresResolutions:
    """The differences of one account, as an operator sees them."""

    def __init__(self, database: Database, account_ref: str) -> None:
        self._database = database
        self._account_ref = account_ref

    def breaks(self, *, with_resolved: bool = False) -> list[dict[str, Any]]:
        """Open differences, or all of them, oldest first."""
        with transaction(self._database) as cursor:
            return cursor.execute(_BREAKS, (self._account_ref, with_resolved)).fetchall()

    def resolve(
        self,
        break_id: int,
        *,
        actor: str,
        reason: str,
        market_at: datetime,
        is_adopted: bool = False,
        is_paid_in: bool = False,
        split: tuple[int, int] | None = None,
    ) -> None:
        """Close one difference. With `is_adopted` the books take the broker's number over.

        `is_paid_in`: what was taken over came from outside and is no result. `split`: new and old shares. Raises
        InputError for a difference that is not open or cannot be adopted, and where the books have moved on.
        """
        new, old = split or (None, None)
        try:
            with transaction(self._database) as cursor:
                found = cursor.execute(
                    "select from oms.recon_break where break_id = %s and account_ref = %s",
                    (break_id, self._account_ref),
                ).fetchone()
                if found is None:
                    raise InputError(f"id: there is no difference {break_id} of account {self._account_ref}")
                cursor.execute(
                    "insert into oms.break_resolution (break_id, actor, reason, is_adopted, is_paid_in, new_shares, "
                    "old_shares, market_at) values (%s, %s, %s, %s, %s, %s, %s, %s)",
                    (break_id, actor, reason, is_adopted, is_paid_in, new, old, market_at),
                )
        except LedgerConflict as error:
            raise InputError(f"difference {break_id} is not resolved: {error}") from error

    def ask(self, requested_by: str) -> int:
        """Ask the submitter for a reconciliation. Returns the request's id."""
        with transaction(self._database) as cursor:
            row = cursor.execute(
                "insert into oms.recon_request (account_ref, requested_by) values (%s, %s) returning request_id",
                (self._account_ref, requested_by),
            ).fetchone()
        assert row is not None
        return int(row["request_id"])

    def run_of(self, request_id: int) -> dict[str, Any] | None:
        """The run that answered a request, or None while there is none."""
        with transaction(self._database) as cursor:
            return cursor.execute(_RUN, (request_id,)).fetchone()

    def heartbeat(self) -> tuple[str, str, float] | None:
        """The submitter's status, its detail, and its age in seconds; None when it never ran for this account."""
        with transaction(self._database) as cursor:
            row = cursor.execute(
                "select status, detail, extract(epoch from clock_timestamp() - at)::float8 as age_s "
                "from oms.heartbeat where account_ref = %s",
                (self._account_ref,),
            ).fetchone()
        return None if row is None else (row["status"], row["detail"], row["age_s"])

"""The order ledger as a whole: its parts by account, what is exported, and the control rows.

What goes here: putting the parts together. What does not: their SQL, which is in the module of each part.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.account_rows import PostgresAccount
from ibkr_assets.adapters.postgres.differences import PostgresDifferences
from ibkr_assets.adapters.postgres.doubts import PostgresDoubts
from ibkr_assets.adapters.postgres.executions import PostgresExecutions
from ibkr_assets.adapters.postgres.lease import PostgresLease
from ibkr_assets.adapters.postgres.order_rows import plain
from ibkr_assets.adapters.postgres.permission_rows import PostgresPermission
from ibkr_assets.adapters.postgres.recovery import PostgresRecovery
from ibkr_assets.adapters.postgres.sends import PostgresSends
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.errors import InputError, LedgerConflict

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database
    from ibkr_assets.risk.facts import Versions

_EXPORT = """
select i.decision_key, i.client_order_id, i.state, i.mode, i.strategy_id, i.symbol, i.side, i.quantity,
  i.broker_order_id, i.filled, i.average_price, i.reason, i.send_count as sends,
  (select coalesce(jsonb_agg(jsonb_build_object('seq', e.seq, 'from', e.from_state, 'to', e.to_state,
     'cause', e.cause, 'at', e.at) order by e.seq), '[]') from oms.order_event e where e.intent_id = i.intent_id)
   as events
from oms.order_intent i order by i.created_at, i.intent_id
"""


@dataclass(frozen=True, slots=True)
class PostgresAccountLedger:
    """Everything the submitter needs of one account's ledger."""

    lease: PostgresLease
    sends: PostgresSends
    executions: PostgresExecutions
    doubts: PostgresDoubts
    account: PostgresAccount
    differences: PostgresDifferences
    permission: PostgresPermission
    recovery: PostgresRecovery


class PostgresLedger:
    """The order ledger in one database; `versions` are what a writer that takes a lease of it runs."""

    def __init__(self, database: Database, versions: Versions | None = None) -> None:
        self._database = database
        self._versions = versions

    def of_account(self, account_ref: str) -> PostgresAccountLedger:
        """The parts of one account's ledger."""
        return PostgresAccountLedger(
            lease=PostgresLease(self._database, account_ref, self._versions),
            sends=PostgresSends(self._database, account_ref),
            executions=PostgresExecutions(self._database, account_ref),
            doubts=PostgresDoubts(self._database, account_ref),
            account=PostgresAccount(self._database, account_ref),
            differences=PostgresDifferences(self._database, account_ref),
            permission=PostgresPermission(self._database, account_ref),
            recovery=PostgresRecovery(self._database, account_ref),
        )

    def export(self) -> list[dict[str, Any]]:
        """Every intent with what became of it, oldest first; numbers as text, so that they stay exact."""
        with transaction(self._database) as cursor:
            rows = cursor.execute(_EXPORT).fetchall()
        return [
            {
                **row,
                "quantity": str(plain(row["quantity"])),
                "filled": str(plain(row["filled"])),
                "average_price": None if row["average_price"] is None else str(plain(row["average_price"])),
            }
            for row in rows
        ]

    def control(
        self,
        action: str,
        *,
        scope: str,
        actor: str,
        reason: str,
        session: str = "",
        expires_at: datetime | None = None,
        evidence: dict[str, Any] | None = None,
    ) -> None:
        """Give or withdraw permission to trade; `session` is the login it comes from, `evidence` what it rests on.

        Raises InputError naming what the ledger does not accept, or why a guard refused.
        """
        try:
            with transaction(self._database) as cursor:
                cursor.execute(
                    "insert into oms.control (scope, action, actor, session, reason, expires_at, evidence) "
                    "values (%s, %s, %s, %s, %s, %s, %s)",
                    (scope, action, actor, session, reason, expires_at, Jsonb(evidence or {})),
                )
        except LedgerConflict as error:
            if not isinstance(error.__cause__, psycopg.IntegrityError):
                raise InputError(f"{action} {scope}: {error}") from error
            raise InputError(
                f"scope: {scope!r} with action {action!r} and reason {reason!r} is not accepted; scope is global, "
                "account:<ref>, strategy:<id> or conid:<n>, and a reason is required"
            ) from error

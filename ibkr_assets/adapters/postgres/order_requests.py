"""What a person asks of one order, as rows that the submitter acts on: cancel it, or end a doubt that looks cannot.

What goes here: writing and reading these rows. What does not: acting on them (`execution.watch`,
`execution.evidence`), and refusing those that do not fit, which is the database's own work.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.errors import InputError

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

_STANDING = """
select i.intent_id::text as intent_id, i.client_order_id, i.state, i.filled, i.unknown_since, s.is_terminal,
  oms.looked_for(i.intent_id, i.unknown_since) as may_be_stated
from oms.order_intent i join oms.state s on s.name = i.state
where i.account_ref = %(ref)s and i.client_order_id = %(order)s
"""
_CANCEL = """
insert into oms.cancel_request (intent_id, actor, session, reason, seen_state, seen_filled)
values (%(intent)s, %(actor)s, %(session)s, %(reason)s, %(state)s, %(filled)s) on conflict (intent_id) do nothing
"""
_STATE = """
insert into oms.doubt_statement (intent_id, actor, session, reason, unknown_since)
values (%(intent)s, %(actor)s, %(session)s, %(reason)s, %(since)s) on conflict do nothing
"""
_ASKED = "select actor, reason, requested_at from oms.cancel_request where intent_id = %(intent)s"
_STATED = """
select actor, reason, stated_at from oms.doubt_statement
where intent_id = %(intent)s order by stated_at desc limit 1
"""
_LOOKS = """
select observed_at, is_ready, is_snapshot, is_primed, is_position_unchanged, orders_seen, trades_seen
from oms.absence_observation where intent_id = %(intent)s and observed_at >= %(since)s
order by observation_id desc limit 20
"""


class PostgresOrderRequests:
    """Requests about the orders of one account."""

    def __init__(self, database: Database, account_ref: str) -> None:
        self._database = database
        self._account_ref = account_ref

    def standing(self, client_order_id: str) -> dict[str, Any]:
        """Where the order stands, what was asked of it, and the looks that did not show it since it is in doubt.

        Keys beside the order's columns: `cancel_asked`, `stated` (each a row or None), `looks` (newest first).
        Raises InputError for an order that is not known.
        """
        with transaction(self._database) as cursor:
            found = cursor.execute(_STANDING, {"ref": self._account_ref, "order": client_order_id}).fetchone()
            if found is None:
                raise InputError(f"order: no order {client_order_id!r} of account {self._account_ref}")
            values = {"intent": found["intent_id"], "since": found["unknown_since"]}
            found["cancel_asked"] = cursor.execute(_ASKED, values).fetchone()
            found["stated"] = cursor.execute(_STATED, values).fetchone()
            found["looks"] = cursor.execute(_LOOKS, values).fetchall()
            return found

    def cancel(
        self, client_order_id: str, *, actor: str, session: str, reason: str, seen_state: str, seen_filled: Decimal
    ) -> None:
        """Ask for an order to be cancelled, wherever it is: unsent it never leaves, in doubt it is once it is found.

        Asking again changes nothing. Raises LedgerConflict when the order is over, or not as it was seen.
        """
        values = {"actor": actor, "session": session, "reason": reason, "state": seen_state, "filled": seen_filled}
        with transaction(self._database) as cursor:
            cursor.execute(_CANCEL, values | {"intent": self._intent(client_order_id)})

    def state_absent(
        self, client_order_id: str, *, actor: str, session: str, reason: str, unknown_since: datetime
    ) -> None:
        """Say that an order in doubt was never placed, and how that is known; it is not sent again.

        Raises LedgerConflict when it is not in doubt since then any more, or was not looked for twice.
        """
        values = {"actor": actor, "session": session, "reason": reason, "since": unknown_since}
        with transaction(self._database) as cursor:
            cursor.execute(_STATE, values | {"intent": self._intent(client_order_id)})

    def _intent(self, client_order_id: str) -> str:
        return str(self.standing(client_order_id)["intent_id"])

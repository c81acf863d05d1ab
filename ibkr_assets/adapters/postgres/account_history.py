"""The rows that results are made of: executions with their strategy, shares that moved, valuations.

What goes here: reading them. What does not: the sums (`portfolio.statement`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import psycopg
from psycopg.rows import DictRow

from ibkr_assets.adapters.postgres.executions import read_fill
from ibkr_assets.adapters.postgres.order_rows import plain
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.errors import DataError
from ibkr_assets.portfolio.statement import NOBODY, AccountHistory, SharesMoved, Valuation

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

_EXECUTIONS = """
select coalesce(i.strategy_id, %(nobody)s) as owner, e.execution_id, e.client_order_id, e.broker_order_id, e.conid,
  e.symbol, e.side, e.quantity, e.price, e.commission, e.executed_at
from oms.execution_current e left join oms.order_intent i using (intent_id) where e.account_ref = %(ref)s
order by e.executed_at, e.execution_id
"""

_MOVED = """
select conid, symbol, coalesce(effective_at, market_at) as at, quantity, kind, price_usd, is_paid_in, new_shares,
  old_shares from oms.position_event where account_ref = %s order by event_id
"""

_VALUATIONS = """
with kept as (
  select s.*, d.session_date from oms.account_snapshot s left join oms.nav_day d using (account_ref, snapshot_id)
  where s.account_ref = %(ref)s and (d.snapshot_id is not null
    or s.snapshot_id = (select min(f.snapshot_id) from oms.account_snapshot f where f.account_ref = %(ref)s)
    or s.snapshot_id = (select max(f.snapshot_id) from oms.account_snapshot f where f.account_ref = %(ref)s))
)
select market_at, nav_platform_usd as nav, positions, session_date,
  (select coalesce(sum(p.paid_in_usd), 0) from oms.account_snapshot p where p.account_ref = %(ref)s
     and p.paid_in_usd <> 0 and p.snapshot_id <= kept.snapshot_id) as paid_in
from kept order by snapshot_id
"""


def load_history(database: Database, account_ref: str) -> AccountHistory:
    """All of one account. Raises DataError for shares taken over at a price that nobody knows."""
    with transaction(database) as cursor:
        executions = cursor.execute(_EXECUTIONS, {"ref": account_ref, "nobody": NOBODY}).fetchall()
        valuations = _valuations(cursor, account_ref)
        moved = cursor.execute(_MOVED, (account_ref,)).fetchall()
    first = valuations[0].marks if valuations else {}
    return AccountHistory(
        executions=[(row["owner"], read_fill(row)) for row in executions],
        moved=[_moved(row, first.get(row["conid"])) for row in moved],
        valuations=valuations,
    )


def _valuations(cursor: psycopg.Cursor[DictRow], account_ref: str) -> list[Valuation]:
    found: list[Valuation] = []
    paid_in = Decimal(0)
    for row in cursor.execute(_VALUATIONS, {"ref": account_ref}).fetchall():
        marks = {int(held["conid"]): plain(Decimal(held["price"])) for held in row["positions"] if held["price"]}
        total = plain(row["paid_in"])
        found.append(Valuation(row["market_at"], plain(row["nav"]), total - paid_in, marks, row["session_date"]))
        paid_in = total
    return found


def _moved(row: DictRow, first_mark: Decimal | None) -> SharesMoved:
    price = None
    if row["kind"] == "opening":
        price = first_mark if row["price_usd"] is None else plain(row["price_usd"])
        if price is None:
            raise DataError(f"opening of {row['symbol']} (conid {row['conid']}): no price of it was ever stored")
    elif row["is_paid_in"]:
        price = plain(row["price_usd"])
    split = (row["new_shares"], row["old_shares"]) if row["kind"] == "split" else None
    return SharesMoved(row["conid"], row["symbol"], row["at"], plain(row["quantity"]), price, split)

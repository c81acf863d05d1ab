"""Past decisions of the order ledger, each with all that it was made on.

What goes here: reading them. What does not: the second review (`risk.what_if`).
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from psycopg.rows import DictRow

from ibkr_assets.adapters.postgres.order_rows import read_record, record_columns
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.risk.facts import Finding
from ibkr_assets.risk.rules import Heard
from ibkr_assets.risk.what_if import PastDecision

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database


def load_decisions(database: Database, first: date | None = None, last: date | None = None) -> list[PastDecision]:
    """All decisions on the sessions from `first` to `last`, both included, in the order they were made.

    An order that was refused at departure has two: its approval, and the refusal. Orders that were stored after their
    time had passed were never reviewed, and are none of them.
    """
    query = f"""
        select {record_columns("i")}, d.heard, d.is_approved, d.findings, d.exposure, d.facts, v.limits
        from oms.risk_decision d join oms.order_intent i using (intent_id)
        left join oms.limits_version v on v.sha256 = d.limits_sha256
        where (%(first)s::date is null or i.session_date >= %(first)s)
          and (%(last)s::date is null or i.session_date <= %(last)s)
        order by d.decided_at, i.intent_id, d.heard
    """  # noqa: S608 - column names come from the dataclass
    with transaction(database) as cursor:
        rows = cursor.execute(query, {"first": first, "last": last}).fetchall()
    return [_past(row) for row in rows]


def _past(row: DictRow) -> PastDecision:
    record = read_record(row)
    return PastDecision(
        intent=record.intent,
        client_order_id=record.client_order_id,
        is_approved=row["is_approved"],
        heard=Heard(row["heard"]),
        findings=tuple(Finding(**found) for found in row["findings"]),
        limits=row["limits"],
        facts=row["facts"],
        exposure=row["exposure"],
    )

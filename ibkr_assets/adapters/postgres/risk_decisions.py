"""What a review said of an order, with everything it was given: the row of an approval, or of a refusal at departure.

What goes here: writing it. What does not: what becomes of the order then (`intents`, `sends`), and reading it back
(`past_decisions`, `lineage`).
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.limits import save_version
from ibkr_assets.domain.plain import to_plain
from ibkr_assets.risk.engine import Approved, Decision, Exposure
from ibkr_assets.risk.rules import Heard


def save_decision(
    cursor: psycopg.Cursor[DictRow],
    intent_id: str,
    decision: Decision,
    exposure: Exposure,
    *,
    heard: Heard,
    market_at: datetime,
    version: str | None,
) -> None:
    """Store a decision. `exposure` is what the review was told of the account's orders, `version` names what ran."""
    is_approved = isinstance(decision, Approved)
    code, text = ("", "") if isinstance(decision, Approved) else (decision.code, decision.text)
    cursor.execute(
        "insert into oms.risk_decision (intent_id, heard, is_approved, code, text, findings, exposure, facts, "
        "limits_sha256, version_sha256, market_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            intent_id,
            heard,
            is_approved,
            code,
            text,
            Jsonb([asdict(finding) for finding in decision.findings]),
            Jsonb(to_plain(exposure)),
            None if decision.facts is None else Jsonb(to_plain(decision.facts)),
            None if decision.limits is None else save_version(cursor, decision.limits),
            version,
            market_at,
        ),
    )

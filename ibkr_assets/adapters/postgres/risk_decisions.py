"""What a review said of an order, with everything it was given: the row of an approval, or of a refusal at departure.

What goes here: writing it. What does not: what becomes of the order then (`intents`, `sends`), and reading it back
(`past_decisions`, `lineage`).
"""

from __future__ import annotations

from datetime import datetime

from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.batch import Statement
from ibkr_assets.domain.plain import to_plain
from ibkr_assets.risk.engine import Approved, Decision, Exposure
from ibkr_assets.risk.rules import Heard

_INSERT = """
insert into oms.risk_decision (intent_id, heard, is_approved, code, text, findings, exposure, facts, limits_sha256,
                               version_sha256, market_at)
values (%(intent)s, %(heard)s, %(is_approved)s, %(code)s, %(text)s, %(findings)s, %(exposure)s, %(facts)s, %(limits)s,
        %(version)s, %(market_at)s)
"""


def decision_statement(
    intent_id: str,
    decision: Decision,
    exposure: Exposure,
    *,
    heard: Heard,
    market_at: datetime,
    limits_name: str | None,
    version: str | None,
) -> Statement:
    """Stores a decision. `exposure` is what the review was told of the account's orders, `version` names what ran."""
    is_approved = isinstance(decision, Approved)
    code, text = ("", "") if isinstance(decision, Approved) else (decision.code, decision.text)
    return _INSERT, {
        "intent": intent_id, "heard": heard, "is_approved": is_approved, "code": code, "text": text,
        "findings": Jsonb([to_plain(finding) for finding in decision.findings]),
        "exposure": Jsonb(to_plain(exposure)),
        "facts": None if decision.facts is None else Jsonb(to_plain(decision.facts)),
        "limits": limits_name, "version": version, "market_at": market_at,
    }  # fmt: skip

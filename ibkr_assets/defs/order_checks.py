"""What must be true of the order ledger once an asset has written to it, and at any other time.

What goes here: the check's name and its verdict. What does not: the invariants themselves
(`adapters.postgres.invariants`) and what a broken one does to trading: the watchdog looks every minute and withdraws
permission. It is evaluated in the step of `orders`, and can be run alone, without a partition and without proposing
anything.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from ibkr_assets.defs import metadata as show

ledger_is_consistent = dg.AssetCheckSpec(
    "ledger_is_consistent",
    asset="orders",
    blocking=True,
    description="The order ledger contradicts itself nowhere: each invariant of `ibkr-assets invariants` holds.",
)


def judge_ledger(results: Sequence[Mapping[str, Any]]) -> dg.AssetCheckResult:
    """Every invariant, those that do not hold first, each with how many rows contradict it and the first of them."""
    broken = [result for result in results if result["violations"]]
    rows = [
        {name: result[name] for name in ("id", "name", "violations")} | {"examples": ", ".join(result["examples"])}
        for result in (*broken, *(result for result in results if not result["violations"]))
    ]
    return dg.AssetCheckResult(
        asset_key=ledger_is_consistent.asset_key,
        check_name=ledger_is_consistent.name,
        passed=bool(results) and not broken,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "invariants": len(results),
            "broken": ", ".join(result["id"] for result in broken) or "none",
            "violations": sum(result["violations"] for result in broken),
            "ledger": show.table(rows, ("id", "name", "violations", "examples")),
        },
    )

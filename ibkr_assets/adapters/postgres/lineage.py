"""An order followed back to the bars it was decided on, as one document of plain values.

What goes here: reading what was stored when it happened; nothing is computed but the hashes that prove the bars. What
does not: computing the decision again (`execution.replay`), and how a person is shown it (`cli.lineage`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from psycopg.rows import DictRow

from ibkr_assets.adapters.postgres import lineage_queries as queries
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.analysis import call_ids
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.plain import to_plain
from ibkr_assets.risk.rules import Heard

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PostgresLineage:
    """Where orders came from. Every method is one transaction that only reads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def document(self, order: str) -> dict[str, Any]:
        """Everything that is stored of one order: client, broker or decision key, intent or execution id.

        Money and quantities are text, numbers that are missing None. `missing` says which links there are not, and
        why. Raises InputError for an order that is not known, or a name of more than one.
        """
        with transaction(self._database) as cursor:
            intent_id = _find(cursor, order)
            found: dict[str, Any] = {"asked": order, "order": _one(cursor, queries.ORDER, {"intent": intent_id})}
            for name, query in queries.OF_INTENT.items():
                found[name] = [_plain(row) for row in cursor.execute(query, {"intent": intent_id}).fetchall()]
            for name, heard in (("risk", Heard.APPROVAL), ("departure", Heard.DEPARTURE)):
                found[name] = _one(cursor, queries.RISK, {"intent": intent_id, "heard": heard})
            found |= _decided(cursor, intent_id)
            found["versions"] = _versions(cursor, found)
        found["runs"] = _runs(found)
        found["missing"] = _missing(found)
        return found

    def feature_bars(self, document: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Every bar version that the features of the order's signal were computed from, oldest first.

        What is stored may name later bars, too: one list serves many days, and a day rests on those up to its own.
        Each as in the document's `bars`; none where this was not kept.
        """
        name = (document["basis"] or {}).get("feature_input")
        if name is None:
            return []
        with transaction(self._database) as cursor:
            lists = cursor.execute(queries.FEATURE_BARS, {"input": name}).fetchall()
            until = datetime.fromisoformat(document["bars"][-1]["opened_at"])
            wanted = [
                (row["conid"], opened_at, version)
                for row in lists
                for us, version in zip(row["opened_us"], row["versions"], strict=True)
                if (opened_at := _EPOCH + timedelta(microseconds=us)) <= until
            ]
            return _bars(cursor, wanted, document["basis"]["bar_size"])

    def compared_bars(self, document: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Every bar version that the strategy compared, its own among them, by conid and time; none where it did not.

        Each as in the document's `bars`.
        """
        name = (document["basis"] or {}).get("comparison")
        if name is None:
            return []
        with transaction(self._database) as cursor:
            rows = cursor.execute(queries.COMPARED_BARS, {"comparison": name}).fetchall()
            wanted = [
                (row["conid"], opened_at, version)
                for row in rows
                for opened_at, version in zip(row["opened_at"], row["versions"], strict=True)
            ]
            return _bars(cursor, wanted, document["basis"]["bar_size"]) if wanted else []


def _find(cursor: psycopg.Cursor[DictRow], order: str) -> str:
    rows = cursor.execute(queries.FIND, {"order": order}).fetchall()
    if not rows:
        raise InputError(
            f"order {order!r}: not known; name it by client order id, decision key, broker order id, intent id or "
            "execution id (`ibkr-assets ledger export` lists them)"
        )
    if len(rows) > 1:
        names = ", ".join(row["client_order_id"] for row in rows[:5])
        raise InputError(f"order {order!r}: {len(rows)} orders have this name; ask for one of {names}")
    return str(rows[0]["intent_id"])


def _decided(cursor: psycopg.Cursor[DictRow], intent_id: str) -> dict[str, Any]:
    """Plan, signal, strategy, what the signal rests on, and its bars."""
    found: dict[str, Any] = dict.fromkeys(("plan", "signal", "strategy", "basis"))
    found |= {"bars": [], "compared": [], "llm_calls": []}
    plan = found["plan"] = _one(cursor, queries.PLAN, {"intent": intent_id})
    if plan is None:
        return found
    signal = found["signal"] = _one(cursor, queries.SIGNAL, {**plan, **plan["signal"], "signal_id": plan["signal_id"]})
    key = {"id": plan["strategy_id"], "version": plan["strategy_version"]}
    found["strategy"] = _one(cursor, queries.STRATEGY, key)
    basis = None if signal is None else _one(cursor, queries.BASIS, {"signal_id": signal["signal_id"]})
    if signal is None or basis is None:
        return found
    wanted = zip(basis.pop("opened_at"), basis.pop("versions"), strict=True)
    found["bars"] = _bars(cursor, [(signal["conid"], at, version) for at, version in wanted], basis["bar_size"])
    compared = cursor.execute(queries.COMPARISON, basis).fetchall()
    found["compared"] = [_plain(row) for row in compared]
    asked = cursor.execute(queries.LLM_CALLS, {"calls": call_ids(basis["numbers"])}).fetchall()
    return found | {"basis": basis, "llm_calls": [_plain(row) for row in asked]}


def _bars(cursor: psycopg.Cursor[DictRow], wanted: Sequence[tuple[int, Any, int]], size: str) -> list[dict[str, Any]]:
    """Bar versions with the hash that was stored, and the one that their values have now."""
    conids, opened_at, versions = (list(column) for column in zip(*wanted, strict=True))
    arguments = {"conids": conids, "opened_at": opened_at, "versions": versions, "size": size}
    rows = [_plain(row) for row in cursor.execute(queries.BARS, arguments).fetchall()]
    for row, sha in zip(rows, _hashes(rows, size), strict=True):
        row["sha_of_values"] = sha if row["row_sha"] is not None else None
    return rows


def _hashes(rows: Sequence[Mapping[str, Any]], size: str) -> list[str]:
    import numpy as np

    from ibkr_assets.adapters.postgres.bar_rows import VALUES, row_shas
    from ibkr_assets.domain.bar import BarSize

    moments = [datetime.fromisoformat(row["opened_at"]) for row in rows]
    opened_us = np.array([(moment - _EPOCH) // timedelta(microseconds=1) for moment in moments], dtype=np.int64)
    values = np.array([[row[name] for name in VALUES] for row in rows], dtype=np.float64)
    conids = np.array([row["conid"] for row in rows], dtype=np.int64)
    return [sha.tobytes().hex() for sha in row_shas(conids, opened_us, values, BarSize(size))]


def _versions(cursor: psycopg.Cursor[DictRow], found: Mapping[str, Any]) -> dict[str, Any]:
    """What ran when the signal, the plan and the decision were made, by these names."""
    names = {place: (found[key] or {}).get("version_sha256") for place, key in _PLACES.items()}
    rows = cursor.execute(queries.VERSION, {"names": [name for name in names.values() if name]}).fetchall()
    by_name = {row["sha256"]: _plain(row) for row in rows}
    return {place: by_name.get(name) for place, name in names.items()}


_PLACES = {"signal": "basis", "plan": "plan", "decision": "risk"}


def _runs(found: Mapping[str, Any]) -> dict[str, Any]:
    signal, plan = found["signal"] or {}, found["plan"] or {}
    return {
        "dagster": {
            "signal": signal.get("dagster_run_id"),
            "plan": plan.get("dagster_run_id"),
            "order": found["order"]["dagster_run_id"],
        },
        "mlflow": {"run_id": signal.get("mlflow_run_id"), "page": (found["basis"] or {}).get("mlflow_page")},
    }


def _missing(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Links that are not there, and why. Expected are those that this order never had."""
    order, plan, signal, basis, risk = (found[name] for name in ("order", "plan", "signal", "basis", "risk"))
    is_outside, is_expired = order["created_by"] == "intents add", order["state"] == "EXPIRED_UNSENT"
    missing = []

    def miss(link: str, why: str, *, is_expected: bool = False) -> None:
        missing.append({"link": link, "why": why, "is_expected": is_expected})

    if risk is None:
        miss("risk", "its time was past when it was proposed" if is_expired else "not stored", is_expected=is_expired)
    elif risk["facts"] is None or risk["limits"] is None:
        miss("facts", "what the review was given was not kept")
    if plan is None:
        miss("plan", "proposed from outside, by `intents add`" if is_outside else "not stored", is_expected=is_outside)
        return missing
    if plan["sizing"] is None or "now" not in plan["sizing"]:
        miss("sizing", "what the size was computed from was not kept")
    if signal is None:
        miss("signal", "not stored")
    elif basis is None:
        miss("bars", "what the signal rests on was not kept")
    elif basis["comparison"] is not None and not found["compared"]:
        miss("compared", "the bars that it was compared by were not kept")
    elif not basis["features"]:
        miss("features", "none were stored at this bar", is_expected=True)
    elif basis["feature_input"] is None:
        miss("features", "the bars that they were computed from were not kept")
    return missing


def _one(cursor: psycopg.Cursor[DictRow], query: Any, values: Mapping[str, Any]) -> dict[str, Any] | None:
    row = cursor.execute(query, values).fetchone()
    return None if row is None else _plain(row)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, UUID) else value.hex() if isinstance(value, bytes) else to_plain(value)
        for name, value in row.items()
    }

"""Tracked backtests that read a bar as it was before it changed.

What goes here: telling them by the hash of the bars that each says it read. What does not: asking the tracking server
(`adapters.mlflow`), and the change (`ingest.impact`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from ibkr_assets.strategies.input_proof import input_digest

if TYPE_CHECKING:
    from ibkr_assets.ingest.impact import BarChange
    from ibkr_assets.ports import BarStore


def find_backtests(store: BarStore, bar: BarChange, runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of these runs those whose bars were the ones before the change, and would be others after it.

    A run whose symbols are not all named is taken when its days are, unproven.
    """
    found = []
    for run in runs:
        params = run["params"]
        named, _, more = params.get("symbols", "").partition(" and ")
        symbols = named.split(", ")
        first, last = date.fromisoformat(params["from"]), date.fromisoformat(params["to"])
        if bar.instrument.symbol not in symbols and not more:
            continue
        if not any(first <= moment.date() <= last for moment in bar.changed_bars):
            continue
        is_proven = not more and bool(params.get("source_sha256"))
        if is_proven:
            before, after = (_digest(store, state.bars, bar, symbols, first, last) for state in (bar.before, bar.after))
            if params["source_sha256"] != before or before == after:
                continue
        found.append({"name": run["name"], "run_id": run["run_id"], "url": run["url"], "is_proven": is_proven})
    return found


def _digest(store: BarStore, own: pd.DataFrame, bar: BarChange, symbols: Sequence[str], first: date, last: date) -> str:
    """The hash of the validated bars of these symbols and days, with `own` in place of the instrument's."""
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    end = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
    others = [one.conid for one in store.instruments(symbols) if one.conid != bar.instrument.conid]
    frames = [own[(own["opened_at"] >= start) & (own["opened_at"] < end)]]
    if others:
        frames.append(store.load_bars(others, bar.size, start, end, is_validated=True))
    return input_digest(pd.concat(frames).sort_values(["conid", "opened_at"]))

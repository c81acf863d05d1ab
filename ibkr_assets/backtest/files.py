"""The files of a backtest (`trades.csv`, `equity.csv`, `metrics.json`, `denied.csv`) and of a sweep (`sweep.csv`).

What goes here: names, columns and how values are written. Floats are written so that reading them gives the same bits;
times are ISO 8601 in UTC.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ibkr_assets.backtest.metrics import CONVENTIONS
from ibkr_assets.backtest.oversight import DeniedOrder
from ibkr_assets.backtest.result import Result
from ibkr_assets.backtest.sweep import Sweep

TRADE_COLUMNS = (
    "symbol", "side", "size", "entry_bar", "exit_bar", "entry_time", "exit_time", "entry_price", "exit_price",
    "commission", "pnl_net",
)  # fmt: skip
DENIED_COLUMNS = ("symbol", "side", "size", "bar", "time", "price", "code", "text")
_SIDES = {1: "long", -1: "short"}


def write_files(
    directory: Path, result: Result, metrics: Mapping[str, float | None], about: Mapping[str, Any]
) -> list[Path]:
    """Write the three files into `directory`, which is made. Returns their paths.

    `metrics.json` has each figure by name (null where it has no value), `conventions` with a sentence on each, `about`
    (what was run, on what), and what is still open or was not opened. Where rules were heard, it counts the orders
    they denied by code (`denied_orders`), and `denied.csv` has each.
    """
    directory.mkdir(parents=True, exist_ok=True)
    trades, equity, figures = (directory / name for name in ("trades.csv", "equity.csv", "metrics.json"))
    trades.write_text("\n".join([",".join(TRADE_COLUMNS), *_trade_lines(result)]) + "\n", encoding="utf-8")
    lines = (f"{time},{value!r}" for time, value in zip(iso(result.times), result.equity.tolist(), strict=True))
    equity.write_text("\n".join(["time,equity", *lines]) + "\n", encoding="utf-8")
    document = {
        **metrics,
        "conventions": CONVENTIONS,
        "about": dict(about),
        "open_positions": [
            {**one._asdict(), "direction": _SIDES[one.direction], "entry_time": iso(np.array([one.entry_time]))[0]}
            for one in result.open_positions
        ],
        "not_opened_orders": [one._asdict() for one in result.not_opened],
    }
    written = [trades, equity, figures]
    if result.denied is not None:
        document["denied_orders"] = dict(sorted(Counter(one.code for one in result.denied).items()))
        written.append(_write_denied(directory / "denied.csv", result.denied))
    figures.write_text(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    return written


def write_sweep(path: Path, sweep: Sweep) -> None:
    """One line a combination, best first: `rank`, its parameters, its figures (empty where one has no value)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = sorted({name for row in sweep.rows for name in row.params})
    lines = [",".join(["rank", *names, *CONVENTIONS])]
    for rank, row in enumerate(sweep.rows, start=1):
        params = (str(row.params.get(name, "")) for name in names)
        figures = ("" if (value := row.metrics[name]) is None else repr(value) for name in CONVENTIONS)
        lines.append(",".join([str(rank), *params, *figures]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def iso(times: np.ndarray[Any, np.dtype[np.datetime64]]) -> list[str]:
    """`2024-01-02T14:30:00Z`, one a time."""
    return [f"{text}Z" for text in np.datetime_as_string(times.astype("datetime64[s]")).tolist()]


def _write_denied(path: Path, denied: list[DeniedOrder]) -> Path:
    """One line a denial; the text of a rule may hold a comma."""
    times = iso(np.array([one.time for one in denied], dtype="datetime64[ns]"))
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(DENIED_COLUMNS)
        out.writerows(
            (one.symbol, _SIDES[one.direction], f"{one.size:.0f}", one.bar, time, repr(one.price), one.code, one.text)
            for one, time in zip(denied, times, strict=True)
        )
    return path


def _trade_lines(result: Result) -> list[str]:
    if not result.trades:
        return []
    entries, exits = (
        iso(np.array([getattr(trade, name) for trade in result.trades], dtype="datetime64[ns]"))
        for name in ("entry_time", "exit_time")
    )
    return [
        f"{t.symbol},{_SIDES[t.direction]},{t.size:.0f},{t.entry_bar},{t.exit_bar},{entered},{left},"
        f"{t.entry_price!r},{t.exit_price!r},{t.commission!r},{t.pnl_net!r}"
        for t, entered, left in zip(result.trades, entries, exits, strict=True)
    ]

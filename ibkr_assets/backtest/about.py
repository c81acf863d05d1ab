"""What a run over the past was: terms read from texts, and what was run on what, for people and for comparing runs.

What goes here: words and their way to `Terms`. What does not: where bars come from (the callers) and what becomes of
results (`backtest.files`, `backtest.sweep_files`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.strategies.input_proof import input_digest

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.backtest.oversight import Oversight


def parse_terms(
    cash: float, size: str, commission: str, slippage: str, *, may_borrow: bool, oversight: Oversight | None = None
) -> Terms:
    """Terms from the options' texts. Raises InputError naming the option."""
    return Terms(
        cash, parse_size(size), parse_commission(commission), parse_slippage(slippage),
        may_borrow=may_borrow, oversight=oversight,
    )  # fmt: skip


def describe_run(
    kind: str, params: Mapping[str, Any], frame: pd.DataFrame, source: str = "database", source_sha256: str = ""
) -> dict[str, Any]:
    """What was run on what. Bars of the database are named by their exact versions."""
    names = sorted(set(frame["symbol"]))
    return {
        "strategy": kind,
        "params": ", ".join(f"{key}={value}" for key, value in params.items()),
        "symbols": ", ".join(names[:20]) + ("" if len(names) <= 20 else f" and {len(names) - 20} more"),
        "from": f"{frame['opened_at'].min():%Y-%m-%d}",
        "to": f"{frame['opened_at'].max():%Y-%m-%d}",
        "bars": len(frame),
        "source": source,
        "source_sha256": source_sha256 or versions_digest(frame),
    }


def describe_terms(terms: Terms, size: str) -> dict[str, Any]:
    """Cash, size, costs and rules in words."""
    return {
        "cash": terms.cash,
        "size": size,
        "commission": terms.commission.describe(),
        "slippage": terms.slippage.describe(),
        "risk": "none" if terms.oversight is None else terms.oversight.describe(),
    }


def title_of(kind: str, params: Mapping[str, Any]) -> str:
    """The strategy with its parameters."""
    return f"{kind} {' '.join(f'{key}={value}' for key, value in params.items())}".strip()


def versions_digest(frame: pd.DataFrame) -> str:
    """Of the exact versions of the bars; empty where they are not named."""
    return input_digest(frame) if {"version", "row_sha"} <= set(frame.columns) else ""

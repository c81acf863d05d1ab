"""A backtest or a sweep as somebody asks for it in a form, and the run configuration that it becomes.

What goes here: from text to the configuration of the jobs `backtest` and `sweep`, each wrong field named. What does
not: running one (Dagster) and how texts of costs, sizes and grids are read (`backtest`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.views.research import list_instruments
from ibkr_assets.adapters.postgres.views.strategies import list_strategies
from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.grid import parse_grid
from ibkr_assets.backtest.metrics import CONVENTIONS
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.dashboard.sources import Sources, card
from ibkr_assets.dashboard.strategy_draft import read_mapping
from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.strategies.registry import all_kinds, build_strategy

if TYPE_CHECKING:
    from ibkr_assets.settings import Settings

#: More sets than this are asked for at the command line, where nobody waits for a page.
MOST_SETS = 20_000
_MOST_CASH = 1e12


@dataclass(frozen=True, slots=True)
class Asked:
    """The form's fields as they were typed."""

    what: str = "backtest"
    strategy: str = "sma_cross"
    params: str = "fast: 10\nslow: 30"
    symbols: str = ""
    start: str = ""
    end: str = ""
    cash: str = "100000"
    size: str = "percent:95"
    commission: str = "ibkr-fixed"
    slippage: str = "none"
    risk: str = "none"
    grid: str = ""
    rank_by: str = "sharpe"
    sample: str = "0"


def launch_form(sources: Sources, asked: Asked | None = None, problems: dict[str, str] | None = None) -> dict[str, Any]:
    """What the form's template needs."""
    return {
        "asked": asked or Asked(),
        "problems": problems or {},
        "kinds": sorted(all_kinds(sources.settings.strategies.directory)),
        "symbols": [row["symbol"] for row in card(lambda: list_instruments(sources.database)).value or []],
        "figures": list(CONVENTIONS),
        "strategies": [
            row["id"] for row in card(lambda: list_strategies(sources.database, sources.account_ref)).value or []
        ],
    }


def read_form(asked: Asked, settings: Settings) -> tuple[dict[str, Any], dict[str, str]]:
    """The configuration of the job, or what is wrong by field."""
    problems: dict[str, str] = {}

    def read(field: str, parse: Callable[[], Any]) -> Any:
        try:
            return parse()
        except (InputError, ConfigurationError) as error:
            problems[field] = str(error)
            return None

    params, wrong = read_mapping(asked.params)
    if wrong:
        problems["params"] = wrong
    config: dict[str, Any] = {
        "strategy": asked.strategy.strip(),
        "params": params,
        "symbols": asked.symbols.upper().replace(",", " ").split(),
        "start": read("start", lambda: _day("start", asked.start)),
        "end": read("end", lambda: _day("end", asked.end)),
        "cash": read("cash", lambda: _cash(asked.cash)),
        "size": asked.size.strip(),
        "commission": asked.commission.strip(),
        "slippage": asked.slippage.strip(),
    }
    if not config["symbols"]:
        problems["symbols"] = "symbols: name at least one, got none"
    if config["start"] and config["end"] and config["start"] > config["end"]:
        problems["end"] = f"end {config['end']}: is before start {config['start']}"
    read("size", lambda: parse_size(config["size"]))
    read("commission", lambda: parse_commission(config["commission"]))
    read("slippage", lambda: parse_slippage(config["slippage"]))
    directory = settings.strategies.directory
    if config["strategy"] not in all_kinds(directory):
        problems["strategy"] = f"strategy {config['strategy']!r}: no such kind of strategy"
    elif asked.what == "backtest" and "params" not in problems:
        read("params", lambda: build_strategy(config["strategy"], params, directory=directory))
    if asked.what == "sweep":
        specs = asked.grid.split()
        sample = read("sample", lambda: _count(asked.sample))
        read("grid", lambda: _check_grid(specs, sample or 0))
        read("rank_by", lambda: _one_of("rank_by", asked.rank_by, list(CONVENTIONS)))
        return config | {"grid": specs, "rank_by": asked.rank_by, "sample": sample}, problems
    read("risk", lambda: _one_of("risk", asked.risk, ["none", "settings"]))
    return config | {"risk": asked.risk}, problems


def _check_grid(specs: list[str], sample: int) -> None:
    if not specs:
        raise InputError("grid: name the values of at least one parameter, such as fast=5:50:5")
    count = math.prod(len(values) for values in parse_grid(specs).values())
    if min(count, sample or count) > MOST_SETS:
        raise InputError(f"grid: {count:,} sets; at most {MOST_SETS:,} from here, or draw a sample of them")


def _one_of(field: str, value: str, known: list[str]) -> None:
    if value not in known:
        raise InputError(f"{field} {value!r}: expected one of {', '.join(known)}")


def _day(field: str, text: str) -> str:
    if not text.strip():
        return ""
    try:
        return date.fromisoformat(text.strip()).isoformat()
    except ValueError:
        raise InputError(f"{field} {text!r}: expected a date such as 2012-11-20") from None


def _cash(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 1 <= found <= _MOST_CASH:
        raise InputError(f"cash {text!r}: expected USD to start with, at least 1")
    return found


def _count(text: str) -> int:
    if not text.strip().isdecimal() or len(text.strip()) > 9:
        raise InputError(f"sample {text!r}: expected how many sets to draw; 0 tries all")
    return int(text)

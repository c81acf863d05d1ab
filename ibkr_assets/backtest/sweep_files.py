"""What a sweep leaves to be looked at: the ranked rows, a picture, a summary with its doubts, and the best one's page.

What goes here: the files and their words. What does not: the work (`backtest.sweep`) and where the files go (callers).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ibkr_assets.backtest.about import title_of
from ibkr_assets.backtest.files import write_sweep
from ibkr_assets.backtest.heat_map import draw_heat_map
from ibkr_assets.backtest.luck import deflated_sharpe
from ibkr_assets.backtest.metrics import compute_metrics
from ibkr_assets.backtest.picture import draw_picture
from ibkr_assets.backtest.tear_sheet import draw_tear_sheet

if TYPE_CHECKING:
    from ibkr_assets.backtest.result import Result
    from ibkr_assets.backtest.sweep import Sweep
    from ibkr_assets.backtest.walk_forward import WalkForward


#: So many of the best sets are worth a record of their own; all of them are in `sweep.csv`.
BEST = 20


class SweepFiles(NamedTuple):
    """The files, the document of `sweep.json`, how likely the best is more than luck, and that in words."""

    paths: list[Path]
    document: dict[str, Any]
    chance: float | None
    doubt: str


def write_sweep_files(
    out: Path,
    done: Sweep,
    grid: Mapping[str, Sequence[Any]],
    best: Result,
    about: Mapping[str, Any],
    walked: WalkForward | None = None,
) -> SweepFiles:
    """Write `sweep.csv`, `heat_map.png`, `sweep.json`, and page and picture of the best set, traded again as `best`."""
    chance = deflated_sharpe([row.shape for row in done.rows])
    first, doubt = done.rows[0], _doubt(len(done.rows), chance, walked)
    names = ("sweep.csv", "heat_map.png", "sweep.json", "tear_sheet.html", "tear_sheet.png")
    rows, cells, summary, sheet, picture = (out / name for name in names)
    write_sweep(rows, done)
    cells.write_bytes(draw_heat_map(done, grid, title=f"{about['strategy']} on {about['symbols']}"))
    document = {"best": {"params": first.params, **first.metrics}, "deflated_sharpe": chance, "about": dict(about)}
    if walked is not None:
        document["walk_forward"] = _told(walked)
    summary.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    title = title_of(about["strategy"], first.params)
    sheet.write_text(draw_tear_sheet(best, first.metrics, title=title, about=about, doubt=doubt), encoding="utf-8")
    picture.write_bytes(draw_picture(best, first.metrics, title=title))
    return SweepFiles([rows, cells, summary, sheet, picture], document, chance, doubt)


def list_parts(
    done: Sweep, walked: WalkForward | None = None
) -> list[tuple[str, Mapping[str, float | None], Mapping[str, Any]]]:
    """What of a sweep is worth a record of its own, as name, figures and parameters: the best, and what was walked."""
    best = [(f"rank {place}", row.metrics, row.params) for place, row in enumerate(done.rows[:BEST], start=1)]
    folds = walked.folds if walked is not None else []
    return best + [
        (f"part from {one.first_day}", one.metrics, {**one.params, "last_day": one.last_day}) for one in folds
    ]


def short(value: float | None) -> str | None:
    """A figure in few digits."""
    return None if value is None else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.2f}"


def _told(walked: WalkForward) -> dict[str, Any]:
    folds = [
        {"first_day": str(fold.first_day), "last_day": str(fold.last_day), "params": fold.params,
         "chosen_by": fold.chosen_by, **fold.metrics}
        for fold in walked.folds
    ]  # fmt: skip
    return {"folds": folds, "metrics": compute_metrics(walked.result)}


def _doubt(tried: int, chance: float | None, walked: WalkForward | None) -> str:
    """The honest words about the best of many."""
    told = f"the best of {tried} tries on one past is mostly the luckiest"
    if chance is not None:
        told += f": the probability that its Sharpe ratio is more than luck (deflated Sharpe ratio) is {chance:.0%}"
    if walked is not None:
        ratio = _told(walked)["metrics"]["sharpe"]
        told += f"; chosen anew on each past and traded on what came next, the Sharpe ratio is {short(ratio) or 'none'}"
    return told

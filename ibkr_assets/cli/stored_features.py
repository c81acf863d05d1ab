"""The command that computes the features of stored bars, for years of them at once.

What goes here: reading options and showing. What does not: computing and storing (`ingest.features`), and the features
of a file of bars, which are stored nowhere (`cli.data`).
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError


def bars_features(
    symbols: Annotated[str | None, typer.Option(help="symbols, separated by commas; all without it")] = None,
    start: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="first day")] = None,
    end: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="last day")] = None,
    size: Annotated[BarSize, typer.Option("--bar-size", help="the length of the bars")] = BarSize.DAY,
    as_json: Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")] = False,
) -> None:
    """Compute and store the features of stored, accepted bars; what is stored just so already is not written again.

    The same as the asset enriched_features over these sessions, without a run of Dagster.

    Example: ibkr-assets bars features --bar-size 1min --from 2012-01-03
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.features.definition import feature_digest
    from ibkr_assets.ingest.features import build_feature_parts

    settings = configuration.load()
    calendar, store = bootstrap.calendar(settings), bootstrap.bar_store(settings)
    wanted = store.instruments(None if symbols is None else [symbol.strip() for symbol in symbols.split(",")])
    last = calendar.last_closed(bootstrap.clock(settings).now()).day
    sessions = calendar.sessions(
        calendar.first_day if start is None else start.date(), last if end is None else min(last, end.date())
    )
    if not wanted or not sessions:
        raise InputError("bars: no instrument is known yet; import some" if sessions else "--from: no session is over")
    began = time.monotonic()
    parts = build_feature_parts(store, calendar, instruments=wanted, sessions=sessions, size=size, progress=say)
    rows = sum(len(part) for part in parts)
    seconds = time.monotonic() - began
    figures = {
        "instruments": len(wanted), "rows": rows, "feature_digest": feature_digest(), "seconds": round(seconds, 3),
        "rows_per_s": round(rows / seconds),
    }  # fmt: skip
    if as_json:
        emit_json(figures)
    else:
        emit(table([{"what": name, "count": value} for name, value in figures.items()], ["what", "count"]))

"""Commands about stored bars: files and tables in, files out, and what is missing.

What goes here: reading options and showing. What does not: where bars come from (`ingest.feeds`), storing them
(`ingest.imports`), and bars in quarantine (`cli.quarantine`).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli import sweeping
from ibkr_assets.cli.impact import bars_impact
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.cli.stored_features import bars_features
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.ingest.instruments import resolver

if TYPE_CHECKING:
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.ingest.bar_files import FileRows
    from ibkr_assets.ingest.imports import Remember
    from ibkr_assets.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
Size = Annotated[BarSize, typer.Option("--bar-size", help="the length of the bars")]
Symbols = Annotated[str | None, typer.Option(help="symbols, separated by commas; all without it")]
From = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="first day")]
Instruments = Annotated[
    Path | None, typer.Option(help="CSV with symbol and conid, and if wanted exchange, currency, tick, lot")
]
To = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="last day")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    bars = typer.Typer(help="Stored bars: files in, files out, and what is missing.", no_args_is_help=True)
    for name, command in (
        ("import", bars_import), ("extract", bars_extract), ("export", bars_export), ("gaps", bars_gaps),
        ("features", bars_features),
        ("impact", bars_impact),
    ):  # fmt: skip
        bars.command(name)(command)
    sweeping.add_to(bars)
    app.add_typer(bars, name="bars")


def bars_import(
    path: Annotated[str, typer.Argument(help="CSV or Parquet file, a directory of them, or s3://bucket/prefix")],
    size: Size = BarSize.DAY,
    conid: Annotated[int | None, typer.Option(min=1, help="contract id of the one symbol of the file")] = None,
    exchange: Annotated[str, typer.Option(help="with --conid: where it is listed")] = "SMART",
    instruments: Instruments = None,
    again: Annotated[bool, typer.Option("--again", help="read files, too, that are as they were")] = False,
    as_json: AsJson = False,
) -> None:
    """Store the bars of files in versions and judge them; a file that did not change since is not read again.

    A symbol that is not known yet is taken from --conid or --instruments, or else asked of the broker, if one is set.

    Example: ibkr-assets bars import history/ --bar-size 1d --instruments instruments.csv
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.read_files import PostgresReadFiles

    settings = configuration.load()
    feeds, noted = bootstrap.feeds(settings), PostgresReadFiles(bootstrap.database(settings))
    resolve = resolver(instruments or settings.sources.instruments, feeds.broker, conid=conid, exchange=exchange)
    with feeds.file_rows(path, size, say, None if again else noted.load) as (source, parts, rows):
        _store(settings, rows, parts, size, source, resolve, noted.save, as_json=as_json)


def bars_extract(
    symbols: Symbols = None,
    start: From = None,
    end: To = None,
    instruments: Instruments = None,
    as_json: AsJson = False,
) -> None:
    """Store the bars of somebody else's Postgres table, as `sources.postgres` names it; nothing is written there.

    The same rows again write nothing here. A row that is no bar is kept in quarantine with its reason.

    Example: ibkr-assets bars extract --symbols IBM,MSFT --from 2012-01-01
    """
    from ibkr_assets import bootstrap

    settings = configuration.load()
    feeds = bootstrap.feeds(settings)
    source, rows = feeds.extract(
        None if symbols is None else [symbol.strip() for symbol in symbols.split(",")],
        None if start is None else start.replace(tzinfo=UTC),
        None if end is None else end.replace(tzinfo=UTC) + timedelta(days=1),
    )
    resolve = resolver(instruments or settings.sources.instruments, feeds.broker)
    _store(settings, rows, "the table", settings.sources.postgres.bar_size, source, resolve, as_json=as_json)


def _store(
    settings: Settings,
    rows: Iterable[FileRows],
    parts: str,
    size: BarSize,
    source: str,
    resolve: Callable[[str], Instrument],
    remember: Remember | None = None,
    *,
    as_json: bool,
) -> None:
    from ibkr_assets import bootstrap
    from ibkr_assets.ingest.imports import import_rows

    began = time.monotonic()
    report = import_rows(
        bootstrap.bar_store(settings), bootstrap.calendar(settings), rows, parts=parts, size=size, source=source,
        resolve=resolve, clock=bootstrap.clock(settings), progress=say, remember=remember,
    )  # fmt: skip
    seconds = time.monotonic() - began
    counts = {one.name: getattr(report, one.name) for one in dataclasses.fields(report)}
    figures = {**counts, "seconds": round(seconds, 3), "rows_per_s": round(report.rows / seconds)}
    if as_json:
        emit_json(figures)
    else:
        emit(table([{"what": name, "count": value} for name, value in figures.items()], ["what", "count"]))


def bars_export(
    out: Annotated[Path, typer.Option(help="CSV or Parquet file to write")],
    symbols: Symbols = None,
    start: From = None,
    end: To = None,
    size: Size = BarSize.DAY,
    raw: Annotated[bool, typer.Option("--raw", help="also what is in quarantine or not judged")] = False,
    as_of: Annotated[str | None, typer.Option(help="the versions known at this instant, ISO 8601 with a zone")] = None,
    adjusted: Annotated[
        bool, typer.Option("--adjusted", help="in terms of the shares of the last day, by what `actions list` shows")
    ] = False,
) -> None:
    """Write stored bars to a file that `bars import` reads; the hash that is told names exactly these versions.

    The same --as-of gives the same file and the same hash for ever, whatever was corrected since.

    Example: ibkr-assets bars export --symbols IBM,MSFT --from 2012-01-01 --to 2012-12-31 --out bars.parquet
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.ingest.bar_files import write_rows
    from ibkr_assets.strategies.input_proof import input_digest

    settings = configuration.load()
    store = bootstrap.bar_store(settings)
    wanted = store.instruments(None if symbols is None else [symbol.strip() for symbol in symbols.split(",")])
    conids = [instrument.conid for instrument in wanted]
    instant = None if as_of is None else _instant(as_of)
    frame = store.load_bars(
        conids,
        size,
        datetime(1900, 1, 1, tzinfo=UTC) if start is None else start.replace(tzinfo=UTC),
        datetime(9999, 1, 1, tzinfo=UTC) if end is None else end.replace(tzinfo=UTC) + timedelta(days=1),
        is_validated=not raw,
        as_of=instant,
    )
    if adjusted and len(frame):
        from ibkr_assets.adapters.postgres.corporate_actions import PostgresCorporateActions
        from ibkr_assets.market.adjustment import adjust

        actions = PostgresCorporateActions(bootstrap.database(settings)).load(conids, as_of=instant)
        frame = adjust(frame, actions, as_of=frame["opened_at"].max().date() if end is None else end.date())
    write_rows(frame, out)
    say(f"{len(frame)} bars of {frame['conid'].nunique()} instruments written to {out}; versions {input_digest(frame)}")


def bars_gaps(
    symbols: Symbols = None,
    size: Size = BarSize.DAY,
    closed: Annotated[bool, typer.Option("--all", help="also gaps that were filled")] = False,
    as_json: AsJson = False,
) -> None:
    """Sessions that lack bars, from the register that every ingest keeps.

    Example: ibkr-assets bars gaps --symbols IBM
    """
    from ibkr_assets import bootstrap

    store = bootstrap.bar_store(configuration.load())
    wanted = store.instruments(None if symbols is None else [symbol.strip() for symbol in symbols.split(",")])
    rows = store.load_gaps(size, [instrument.conid for instrument in wanted], is_closed=closed)
    gaps = [dataclasses.asdict(gap) for gap in rows]
    if as_json:
        emit_json(gaps)
    else:
        emit(table(gaps, ["symbol", "session", "cause", "tries", "next_try_at", "first_seen", "closed_at"]))


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"as_of: expected an instant such as 2012-11-21T22:00:00+00:00, got {text!r}") from None
    if moment.tzinfo is None:
        raise InputError(f"as_of: {text!r} names no zone")
    return moment

"""Commands about stored bars: files in, files out, and what is missing.

What goes here: reading options and showing. What does not: reading files (`ingest.bar_files`), storing them
(`ingest.imports`), and bars in quarantine (`cli.quarantine`).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.instrument import Instrument

if TYPE_CHECKING:
    from ibkr_assets.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
Size = Annotated[BarSize, typer.Option("--bar-size", help="the length of the bars")]
Symbols = Annotated[str | None, typer.Option(help="symbols, separated by commas; all without it")]
From = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="first day")]
To = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="last day")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    bars = typer.Typer(help="Stored bars: files in, files out, and what is missing.", no_args_is_help=True)
    for name, command in (("import", bars_import), ("export", bars_export), ("gaps", bars_gaps)):
        bars.command(name)(command)
    app.add_typer(bars, name="bars")


def bars_import(
    path: Annotated[Path, typer.Argument(help="CSV or Parquet file, or a directory of them")],
    size: Size = BarSize.DAY,
    conid: Annotated[int | None, typer.Option(min=1, help="contract id of the one symbol of the file")] = None,
    exchange: Annotated[str, typer.Option(help="with --conid: where it is listed")] = "SMART",
    instruments: Annotated[
        Path | None, typer.Option(help="CSV with symbol and conid, and if wanted exchange, currency, tick, lot")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Store the bars of files in versions and judge them; the same file again writes nothing.

    A symbol that is not known yet is taken from --conid or --instruments, or else asked of the broker, if one is set.

    Example: ibkr-assets bars import history/ --bar-size 1d --instruments instruments.csv
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.ingest.imports import import_bars

    settings = configuration.load()
    began = time.monotonic()
    report = import_bars(
        bootstrap.bar_store(settings),
        bootstrap.calendar(settings),
        path,
        size=size,
        resolve=_resolver(settings, conid, exchange, instruments),
        clock=bootstrap.clock(settings),
        progress=say,
    )
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
    """Write stored bars to a file that `bars import` reads.

    Example: ibkr-assets bars export --symbols IBM,MSFT --from 2012-01-01 --to 2012-12-31 --out bars.parquet
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.ingest.bar_files import write_rows

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
    say(f"{len(frame)} bars of {frame['conid'].nunique()} instruments written to {out}")


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
        emit(table(gaps, ["symbol", "session", "cause", "first_seen", "closed_at"]))


def _resolver(
    settings: Settings, conid: int | None, exchange: str, instruments: Path | None
) -> Callable[[str], Instrument]:
    """How a symbol that the store does not know becomes an instrument."""
    given: dict[str, Instrument] = {}
    if instruments is not None:
        from ibkr_assets.ingest.bar_files import read_instruments

        given = {row["symbol"]: _instrument(row) for row in read_instruments(instruments)}
    taken: list[str] = []

    def resolve(symbol: str) -> Instrument:
        if symbol in given:
            return given[symbol]
        if conid is not None:
            taken.append(symbol)
            if len(set(taken)) > 1:
                raise InputError(f"conid {conid}: one contract, but the file has {' and '.join(taken)}")
            return Instrument(conid, symbol, exchange)
        if settings.gateway.url:
            from ibkr_assets import bootstrap

            return bootstrap.bar_source(settings).resolve(symbol)
        raise InputError(
            f"symbol {symbol}: not known; give --conid or --instruments, or set gateway.url to ask the broker"
        )

    return resolve


def _instrument(row: dict[str, str]) -> Instrument:
    try:
        return Instrument(
            int(row["conid"]), row["symbol"], row.get("exchange") or "SMART", row.get("currency") or "USD",
            Decimal(row.get("tick") or "0.01"), Decimal(row.get("lot") or "1"),
        )  # fmt: skip
    except (ValueError, InvalidOperation):
        raise InputError(f"instruments: symbol {row['symbol']}: cannot be read: {row}") from None


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"as_of: expected an instant such as 2012-11-21T22:00:00+00:00, got {text!r}") from None
    if moment.tzinfo is None:
        raise InputError(f"as_of: {text!r} names no zone")
    return moment

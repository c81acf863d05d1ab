"""Reads a tape: the real bars that ship as a wheel, or a directory of the user's own bar files.

Daily bars are in the directory itself (`day_files`), minute bars in its sub-directory `minutes` (`minute_files`);
either may be absent. Here they meet the exchange's calendar and each other. What the tape means is in `tape`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.market.new_york import is_listed, list_sessions
from ibkr_assets.simulator.bars import TapeBar
from ibkr_assets.simulator.corporate_actions import find_actions
from ibkr_assets.simulator.day_files import DaySeries, read_days
from ibkr_assets.simulator.listings import contracts_of
from ibkr_assets.simulator.minute_files import MinuteTable, arrange_minutes, check_agreement, days_of, read_minutes
from ibkr_assets.simulator.tape import CorporateAction, Tape

EXCHANGE = "XNYS"
#: The sub-directory of minute bars.
MINUTES = "minutes"


def load_tape(source: str | Path) -> Tape:
    """The tape named by `source`: the word `real`, or a directory of CSV or Parquet files.

    A file has columns opened_at, open, high, low, close, volume and optionally symbol (the file's stem where absent)
    and adj_close (from which splits and dividends are read). Where there are both, a day's bar must agree with its
    minutes; where there are only minutes, the day's bar is made of those in regular hours. `tape.toml` may declare
    the `time_zone` of times without one. Raises ConfigurationError when the directory is not there or holds no bar
    file, InputError naming file and row for a bar that cannot be.
    """
    series, tables = (_read_real(), {}) if source == "real" else _read_directory(Path(source))
    days = sorted({day for one in series.values() for day in one.bars})
    edges = sorted({*days[:1], *days[-1:], *(day for table in tables.values() for day in days_of(table))})
    sessions = _sessions(edges[0], edges[-1])
    minutes, whole = {}, {symbol: one.bars for symbol, one in series.items()}
    for symbol, table in tables.items():
        minutes[symbol], made = arrange_minutes(table, sessions)
        given = whole.get(symbol, {})
        check_agreement(symbol, given, made)
        whole[symbol] = dict(sorted((made | given).items()))
    known = {session.day for session in sessions}
    strange = sorted({day for one in series.values() for day in one.bars} - known)
    if strange:
        raise InputError(f"tape: {strange[0]} is not a session of {EXCHANGE}")
    contracts = contracts_of(sorted(whole))
    actions: list[CorporateAction] = []
    for contract in contracts:
        one = series.get(contract.symbol)
        if one is not None and one.adjusted:
            closes = [float(bar.close) for bar in one.bars.values()]
            actions += find_actions(contract.conid, list(one.bars), closes, one.adjusted)
    by_conid = {contract.conid: whole[contract.symbol] for contract in contracts}
    by_minute = {contract.conid: minutes[contract.symbol] for contract in contracts if contract.symbol in minutes}
    return Tape(sessions, contracts, by_conid, actions, by_minute)


def _sessions(first: date, last: date) -> Sequence[TradingSession]:
    until = last + timedelta(days=31)
    if is_listed(first, until):
        return list_sessions(EXCHANGE, first, until)
    import exchange_calendars

    # The calendar must not begin at a bar's own day, or a holiday at either edge would be out of its bounds.
    calendar = exchange_calendars.get_calendar(EXCHANGE, start=str(first - timedelta(days=7)), end=str(until))
    early = {moment.date() for moment in calendar.early_closes}
    return [
        TradingSession(
            EXCHANGE, row.Index.date(), row.open.to_pydatetime(), row.close.to_pydatetime(),
            is_early_close=row.Index.date() in early,
        )
        for row in calendar.schedule.loc[str(first) :, ["open", "close"]].itertuples()
    ]  # fmt: skip


def _read_real() -> dict[str, DaySeries]:
    from bokeh_sampledata import stocks

    series = {}
    for symbol in ("AAPL", "FB", "GOOG", "IBM", "MSFT"):
        raw = getattr(stocks, symbol)
        columns = (raw["date"], raw["open"], raw["high"], raw["low"], raw["close"], raw["volume"])
        bars = {
            date.fromisoformat(day): TapeBar(_exact(opened), _exact(high), _exact(low), _exact(close), int(volume))
            for day, opened, high, low, close, volume in zip(*columns, strict=True)
        }
        series[symbol] = DaySeries(bars, list(raw["adj_close"]))
    return series


def _exact(price: float) -> Decimal:
    return Decimal(str(price))


def _read_directory(directory: Path) -> tuple[dict[str, DaySeries], dict[str, MinuteTable]]:
    if not directory.is_dir():
        raise ConfigurationError(f"tape: no such directory: {directory}")
    files, minute_files = _bar_files(directory), _bar_files(directory / MINUTES)
    if not files and not minute_files:
        raise ConfigurationError(f"tape: no .csv or .parquet file in {directory}, nor in its directory {MINUTES}")
    return read_days(files), read_minutes(minute_files, _zone(directory))


def _bar_files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.suffix.lower() in (".csv", ".parquet"))


def _zone(directory: Path) -> str | None:
    """The zone of times that carry none, as `tape.toml` declares it; None without that file."""
    path = directory / "tape.toml"
    if not path.is_file():
        return None
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"tape: {path} cannot be read: {error}") from None
    unknown = sorted(set(settings) - {"time_zone"})
    if unknown:
        raise ConfigurationError(f"tape: {path}: {unknown[0]}: unknown setting; known is time_zone")
    zone = settings.get("time_zone")
    try:
        ZoneInfo(str(zone))
    except (ValueError, ZoneInfoNotFoundError):
        raise ConfigurationError(f"tape: {path}: time_zone is no zone of the tz database: {zone!r}") from None
    return str(zone)

"""Sixty kinds of damage to a file of bars, and what must hold after any of them has been imported.

`python -m ibkr_assets_tests.ingest.damage --rounds 100` imports 6,000 damaged batches into a server of its own. What a
good bar is, is said here once more, from the exchange's calendar and the clean tape, and not by the code under test.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.ingest.imports import import_bars
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.fakes.clock import FixedClock
from ibkr_assets_tests.fakes.tape import real_bars

BARS = 60
NOW = datetime(2013, 6, 1, tzinfo=UTC)
_PRICES = ("open", "high", "low", "close")
_VALUES = (*_PRICES, "volume")
Damage = Callable[[pd.DataFrame, int], pd.DataFrame]


def _set(column: str, value: object) -> Damage:
    def damage(bars: pd.DataFrame, row: int) -> pd.DataFrame:
        bars.loc[row, column] = value
        return bars

    return damage


def _times(columns: tuple[str, ...], factor: float) -> Damage:
    def damage(bars: pd.DataFrame, row: int) -> pd.DataFrame:
        bars.loc[row, list(columns)] = [float(bars.loc[row, column]) * factor for column in columns]
        return bars

    return damage


def _like(column: str, other: str, factor: float) -> Damage:
    def damage(bars: pd.DataFrame, row: int) -> pd.DataFrame:
        bars.loc[row, column] = float(bars.loc[row, other]) * factor
        return bars

    return damage


def _shift(text: str) -> Damage:
    def damage(bars: pd.DataFrame, row: int) -> pd.DataFrame:
        bars.loc[row, "opened_at"] = (pd.Timestamp(bars.loc[row, "opened_at"]) + pd.Timedelta(text)).isoformat()
        return bars

    return damage


def _swap(bars: pd.DataFrame, row: int) -> pd.DataFrame:
    bars.loc[row, ["high", "low"]] = bars.loc[row, ["low", "high"]].tolist()
    return bars


def _before(count: int) -> Damage:
    """Copies with another close, above the row that is right."""

    def damage(bars: pd.DataFrame, row: int) -> pd.DataFrame:
        copies = pd.concat([bars.iloc[[row]]] * count)
        copies["close"] = [float(bars.loc[row, "low"]) * (1 + 0.0001 * number) for number in range(count)]
        return pd.concat([bars.iloc[:row], copies, bars.iloc[row:]])

    return damage


def _naive(bars: pd.DataFrame, row: int) -> pd.DataFrame:
    bars.loc[row, "opened_at"] = str(bars.loc[row, "opened_at"]).removesuffix("+00:00")
    return bars


KINDS: dict[str, Damage] = {
    **{f"{c} missing": _set(c, None) for c in _VALUES},
    **{f"{c} infinite": _set(c, "inf") for c in _VALUES},
    **{f"{c} minus infinite": _set(c, "-inf") for c in _VALUES},
    **{f"{c} text": _set(c, "n/a") for c in _VALUES},
    **{f"{c} negative": _times((c,), -1.0) for c in _VALUES},
    **{f"{c} zero": _set(c, 0) for c in _PRICES},
    **{f"{c} times ten": _times((c,), 10.0) for c in ("open", "close")},
    **{f"{c} a tenth": _times((c,), 0.1) for c in ("open", "close")},
    "volume zero": _set("volume", 0),
    "close with a thousands separator": _set("close", "1,000.5"),
    "close too large for a number": _set("close", "1e400"),
    "close a truth value": _set("close", "True"),
    "high and low swapped": _swap,
    "high below the close": _like("high", "close", 0.99),
    "low above the open": _like("low", "open", 1.01),
    "whole bar times three": _times(_PRICES, 3.0),
    "whole bar a third": _times(_PRICES, 1 / 3),
    "time missing": _set("opened_at", None),
    "time no time": _set("opened_at", "yesterday"),
    "time in month 13": _set("opened_at", "2012-13-01T14:30:00Z"),
    "time without zone": _naive,
    "time in another zone": _set("opened_at", "2012-11-21T09:30:00+09:00"),
    "time in 2199": _set("opened_at", "2199-01-04T14:30:00Z"),
    "time in 1900": _set("opened_at", "1900-01-04T14:30:00Z"),
    "time in 9999": _set("opened_at", "9999-01-04T14:30:00Z"),
    "a Saturday": _set("opened_at", "2012-11-24"),
    "a holiday": _set("opened_at", "2012-11-22"),
    "an hour late": _shift("1h"),
    "a second early": _shift("-1s"),
    "the same row twice": lambda bars, row: pd.concat([bars.iloc[: row + 1], bars.iloc[row:]]),
    "another row of the bar before it": _before(1),
    "three other rows of the bar before it": _before(3),
    "everything twice": lambda bars, row: pd.concat([bars, bars]),
    "out of order": lambda bars, row: bars.sample(frac=1.0, random_state=row),
    "newest first": lambda bars, row: bars.iloc[::-1],
}


@dataclass(slots=True)
class Tally:
    """What was found: batches and rows, where they went, and every breach in words."""

    batches: int = 0
    rows: int = 0
    validated: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    kinds_with_quarantine: set[str] = field(default_factory=set)
    breaches: list[str] = field(default_factory=list)


def run(database: Database, rounds: int, *, seed: int = 7) -> Tally:
    """Import each kind once a round, each batch as an instrument of its own, and compare."""
    store, calendar, tally = PostgresBars(database), exchange_calendar("XNYS"), Tally()
    opens = {s.opens_at for s in calendar.sessions(date(2000, 1, 3), date(2013, 5, 31))}
    tapes = [real_bars("IBM"), real_bars("GOOG")]
    generator = np.random.default_rng(seed)
    for number in range(rounds):
        clean: dict[str, pd.DataFrame] = {}
        parts, kinds, conids = [], {}, {}
        for place, (kind, damage) in enumerate(KINDS.items()):
            symbol = f"D{number:03d}K{place:02d}"
            tape = tapes[int(generator.integers(2))]
            start = int(generator.integers(0, len(tape) - BARS))
            bars = tape.iloc[start : start + BARS].assign(symbol=symbol).reset_index(drop=True)
            clean[symbol], kinds[symbol], conids[symbol] = bars, kind, 900_000 + 1000 * number + place
            text = bars.drop(columns="conid").astype(object)
            text["opened_at"] = [moment.isoformat() for moment in bars["opened_at"]]
            parts.append(damage(text, int(generator.integers(25, BARS - 1))))
        rows = pd.concat(parts, ignore_index=True)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "bars.csv"
            rows.to_csv(file, index=False)
            report = import_bars(
                store, calendar, file, size=BarSize.DAY,
                resolve=lambda symbol, conids=conids: Instrument(conids[symbol], symbol, "XNYS"),
                clock=FixedClock(NOW), progress=lambda text: None,
            )  # fmt: skip
        tally.batches += len(parts)
        tally.rows += len(rows)
        tally.repeated += report.repeated
        good = store.load_bars(list(conids.values()), BarSize.DAY, datetime(1800, 1, 1, tzinfo=UTC), NOW_AND_LATER,
                               is_validated=True)  # fmt: skip
        tally.validated += len(good)
        tally.breaches += _bad_rows(good, clean, opens)
        lost = len(rows) - report.repeated - len(good) - _count_kept_back(database, conids, kinds, tally)
        if lost or report.rows != len(rows):
            tally.breaches.append(
                f"round {number}: {lost} of {len(rows)} rows are nowhere; {report.rows} were reported"
            )
    return tally


NOW_AND_LATER = datetime(2260, 1, 1, tzinfo=UTC)


def _bad_rows(good: pd.DataFrame, clean: dict[str, pd.DataFrame], opens: set[datetime]) -> list[str]:
    """Validated rows that are not bars of the clean tape, bit for bit, or not in a session of the calendar."""
    right = {
        (symbol, row.opened_at, *(getattr(row, name) for name in _VALUES))
        for symbol, bars in clean.items()
        for row in bars.itertuples()
    }
    return [
        f"{row.symbol}: {row.opened_at} is validated and wrong: {row}"
        for row in good.itertuples()
        if (row.symbol, row.opened_at, *(getattr(row, name) for name in _VALUES)) not in right
        or row.opened_at not in opens
    ]


def _count_kept_back(database: Database, conids: dict[str, int], kinds: dict[str, str], tally: Tally) -> int:
    """Rows in quarantine, bars or not; each must have a reason."""
    with database.connect() as connection:
        found = connection.execute(
            "select symbol, reason from md.quarantine where conid = any(%(c)s) union all "
            "select raw->>'symbol', reason from md.rejected_row where conid = any(%(c)s)",
            {"c": list(conids.values())},
        ).fetchall()
    tally.quarantined.update(reason for _, reason in found)
    tally.kinds_with_quarantine |= {kinds[symbol] for symbol, _ in found}
    tally.breaches += [f"{symbol}: in quarantine without a reason" for symbol, reason in found if not reason]
    return len(found)


def main() -> None:
    """Import on a server of its own and print the tally; exit 1 on a breach."""
    from benchmarks.server import new_database, start_server

    parser = argparse.ArgumentParser(prog="python -m ibkr_assets_tests.ingest.damage", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    wanted = parser.parse_args()
    with start_server() as server:
        tally = run(Database(new_database(server, "damage")), wanted.rounds, seed=wanted.seed)
    lines = [
        f"{tally.batches} batches of {len(KINDS)} kinds",
        f"{tally.rows} rows: {tally.validated} validated, {tally.quarantined.total()} kept, {tally.repeated} repeated",
        *(f"    {count:6} {reason}" for reason, count in tally.quarantined.most_common()),
        *tally.breaches[:20],
        f"{len(tally.breaches)} breaches",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(1 if tally.breaches else 0)


if __name__ == "__main__":
    main()

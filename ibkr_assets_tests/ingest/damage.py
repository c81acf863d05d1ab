"""Sixty kinds of damage to bars, in files and in answers of a broker, and what must hold after any of them came in.

`python -m ibkr_assets_tests.ingest.damage --rounds 100` takes 6,000 damaged batches into a server of its own. What a
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
from ibkr_assets_tests.ingest.answers import Answers

BARS = 60
#: A session is open, so that a bar of it is not over.
NOW = datetime(2013, 5, 31, 18, tzinfo=UTC)
_PRICES = ("open", "high", "low", "close")
_VALUES = (*_PRICES, "volume")
Damage = Callable[[pd.DataFrame, int], pd.DataFrame]
CHECKSUM = "a file that is not what its checksum says"
UNLISTED = "days before the listing"
STUCK = "twenty-two equal bars"
XNYS = exchange_calendar("XNYS")


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


def _stuck(bars: pd.DataFrame, row: int) -> pd.DataFrame:
    """Twenty-two equal rows, of which the first one is right."""
    bars.loc[row - 21 : row, [*_VALUES]] = bars.loc[row - 21, [*_VALUES]].tolist()
    return bars


def _claim(column: str, usual: object, other: object) -> Damage:
    def damage(bars: pd.DataFrame, row: int) -> pd.DataFrame:
        bars[column] = usual
        bars.loc[row, column] = other
        return bars

    return damage


#: Damage to rows of files.
FILE_KINDS: dict[str, Damage] = {
    **{f"{c} missing": _set(c, None) for c in _VALUES},
    **{f"{c} infinite": _set(c, "inf") for c in _VALUES},
    "close minus infinite": _set("close", "-inf"),
    "volume text": _set("volume", "n/a"),
    **{f"{c} negative": _times((c,), -1.0) for c in ("low", "close", "volume")},
    STUCK: _stuck,
    "a bar of a session that is open": _set("opened_at", "2013-05-31T13:30:00Z"),
    UNLISTED: lambda bars, row: bars,
    "a row of another currency": _claim("currency", "USD", "EUR"),
    "a row of another contract": _claim("conid", None, 1),
    CHECKSUM: lambda bars, row: bars,
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


#: Damage to a broker's whole answer: changes to it, as `answers.Answers` gives them.
ANSWER_KINDS: dict[str, dict[str, object]] = {
    "an answer that is no JSON": {"body": '{"data":[{"t":1358173800000,"o":1'},
    "an answer under another symbol": {"symbol": "OTHER"},
    "an answer of a thousand bars": {"points": 1000},
    "an answer of a delayed feed": {"mdAvailability": "D", "mktDataDelay": 900},
    "a contract in another currency": {"currency": "EUR"},
}
KINDS = (*FILE_KINDS, *ANSWER_KINDS)


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
    """Take each kind in once a round, each batch as an instrument of its own, and compare."""
    store, tally = PostgresBars(database), Tally()
    opens = {s.opens_at for s in XNYS.sessions(date(2000, 1, 3), date(2013, 5, 31))}
    tapes = [real_bars("IBM"), real_bars("GOOG")]
    generator = np.random.default_rng(seed)
    with Answers() as answers:
        for number in range(rounds):
            clean: dict[str, pd.DataFrame] = {}
            kinds, conids, rows = {}, {}, 0
            files: dict[str, list[pd.DataFrame]] = {"bars.csv": [], "other.csv": []}
            for place, kind in enumerate(KINDS):
                symbol = f"D{number:03d}K{place:02d}"
                tape = tapes[int(generator.integers(2))]
                start, row = int(generator.integers(0, len(tape) - BARS)), int(generator.integers(25, BARS - 1))
                conids[symbol], kinds[symbol] = 900_000 + 1000 * number + place, kind
                bars = tape.iloc[start : start + BARS].assign(symbol=symbol, conid=conids[symbol])
                clean[symbol] = bars = bars.reset_index(drop=True)
                instrument = Instrument(conids[symbol], symbol, "XNYS")
                if kind in ANSWER_KINDS:
                    rows += answers.take_in(store, instrument, bars, ANSWER_KINDS[kind])
                    continue
                text = bars.drop(columns="conid").astype(object)
                text["opened_at"] = [moment.isoformat() for moment in bars["opened_at"]]
                damaged = FILE_KINDS[kind](text, row)
                files["other.csv" if kind == CHECKSUM else "bars.csv"].append(damaged)
                if kind == UNLISTED:
                    store.save_instruments([instrument])
                    store.save_listings({instrument.conid: bars["opened_at"][10].date()})
                    clean[symbol] = bars.iloc[10:]
                elif kind == STUCK:  # the first nineteen equal bars could be right; nobody knows before the twentieth
                    clean[symbol].loc[row - 21 : row - 3, [*_VALUES]] = bars.loc[row - 21, [*_VALUES]].tolist()
            reported, repeated = _import(store, files, conids)
            of_files = sum(len(part) for parts in files.values() for part in parts)
            tally.batches += len(KINDS)
            tally.rows += of_files + rows
            tally.repeated += repeated
            good = store.load_bars(list(conids.values()), BarSize.DAY, datetime(1800, 1, 1, tzinfo=UTC), NOW_AND_LATER,
                                   is_validated=True)  # fmt: skip
            tally.validated += len(good)
            tally.breaches += _bad_rows(good, clean, opens)
            lost = of_files + rows - repeated - len(good) - _count_kept_back(database, conids, kinds, tally)
            if lost or reported != of_files:
                tally.breaches.append(
                    f"round {number}: {lost} rows are nowhere; {reported} of {of_files} were reported"
                )
    return tally


def _import(store: PostgresBars, files: dict[str, list[pd.DataFrame]], conids: dict[str, int]) -> tuple[int, int]:
    """Rows that the import reports of these files, and those among them that were there twice."""
    with tempfile.TemporaryDirectory() as folder:
        for name, parts in files.items():
            pd.concat(parts, ignore_index=True).to_csv(Path(folder) / name, index=False)
        (Path(folder) / "other.csv.sha256").write_text(f"{'0' * 64}  other.csv\n")
        report = import_bars(
            store, XNYS, Path(folder), size=BarSize.DAY,
            resolve=lambda symbol: Instrument(conids[symbol], symbol, "XNYS"),
            clock=FixedClock(NOW), progress=lambda text: None,
        )  # fmt: skip
    return report.rows, report.repeated


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

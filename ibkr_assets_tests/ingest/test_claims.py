"""A file held to what it says of itself, through the whole import."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.ingest.imports import ImportReport, import_bars
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.fakes.clock import FixedClock
from ibkr_assets_tests.fakes.tape import INSTRUMENTS, real_bars

NOW = datetime(2013, 6, 1, tzinfo=UTC)


def load(database: Database, path: Path) -> ImportReport:
    return import_bars(
        PostgresBars(database), exchange_calendar("XNYS"), path, size=BarSize.DAY,
        resolve=lambda symbol: INSTRUMENTS[symbol], clock=FixedClock(NOW), progress=lambda _: None,
    )  # fmt: skip


def write(path: Path, **columns: object) -> Path:
    bars = real_bars("IBM", start=date(2012, 10, 1), end=date(2012, 10, 12)).drop(columns="conid")
    bars.assign(**columns).to_csv(path, index=False)
    return path


def kept(database: Database) -> Counter[str]:
    with database.connect() as connection:
        rows = connection.execute("select reason, raw from md.rejected_row").fetchall()
    assert all(raw["open"] and raw["opened_at"] for _, raw in rows), "the row is kept as it came"
    return Counter(reason for reason, _ in rows)


def test_a_file_that_is_not_what_its_checksum_says_has_no_bars_and_loses_no_row(
    database: Database, tmp_path: Path
) -> None:
    path = write(tmp_path / "ibm.csv")
    beside = tmp_path / "ibm.csv.sha256"
    beside.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  ibm.csv\n")
    path.write_bytes(path.read_bytes().replace(b"2012-10-01", b"2012-10-13"))
    report = load(database, tmp_path)
    assert (report.rows, report.accepted, report.rejected) == (10, 0, {"checksum": 10})
    assert kept(database) == {"checksum": 10}
    write(path)
    assert load(database, tmp_path).accepted == 10


@pytest.mark.parametrize("text", ["", "no hash", "abc  ibm.csv"])
def test_a_checksum_that_is_none_is_refused_by_name(database: Database, tmp_path: Path, text: str) -> None:
    write(tmp_path / "ibm.csv")
    (tmp_path / "ibm.csv.sha256").write_text(text)
    with pytest.raises(InputError, match=r"ibm\.csv\.sha256 holds no SHA-256"):
        load(database, tmp_path)


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("conid", [8314] * 9 + [8315], "conid_mismatch"),
        ("conid", [8314] * 8 + [None, 7], "conid_mismatch"),
        ("currency", ["USD"] * 9 + ["EUR"], "currency_changed"),
    ],
)
def test_a_row_of_another_contract_or_currency_is_kept_apart(
    database: Database, tmp_path: Path, column: str, values: list[object], reason: str
) -> None:
    report = load(database, write(tmp_path / "ibm.csv", **{column: pd.Series(values, dtype=object)}))
    assert (report.rows, report.accepted, report.rejected) == (10, 9, {reason: 1})
    assert kept(database) == {reason: 1}


def test_a_file_with_neither_is_believed(database: Database, tmp_path: Path) -> None:
    assert load(database, write(tmp_path / "ibm.parquet.csv")).accepted == 10

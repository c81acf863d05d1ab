"""A file that did not change is not read again, and nothing is lost or undone by that."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest

from ibkr_assets.adapters.objects import S3Objects
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.foreign_bars import ForeignBars
from ibkr_assets.adapters.postgres.read_files import PostgresReadFiles
from ibkr_assets.adapters.source_settings import S3Settings, SourceSettings
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.bar_file import ReadFile
from ibkr_assets.domain.errors import InputError
from ibkr_assets.ingest import imports
from ibkr_assets.ingest.bar_files import FileRows, read_rows, write_rows
from ibkr_assets.ingest.feeds import Feeds
from ibkr_assets.ingest.imports import ImportReport, import_rows
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.fakes.clock import FixedClock
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars
from ibkr_assets_tests.objects import Bucket, object_store

NYSE = exchange_calendar("XNYS")
NOW = datetime(2013, 1, 2, 12, tzinfo=UTC)
START, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
BARS = real_bars("IBM", "MSFT", start=date(2012, 10, 1), end=date(2012, 12, 31))


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with object_store() as bucket:
        yield bucket


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a file for each of two symbols."""
    own = tmp_path / "own"
    own.mkdir()
    for symbol, suffix in (("IBM", ".csv"), ("MSFT", ".parquet")):
        write_rows(of(symbol), own / f"{symbol.lower()}{suffix}")
    return own


def of(symbol: str) -> pd.DataFrame:
    return BARS[BARS["symbol"] == symbol].reset_index(drop=True)


class Objects(S3Objects):
    """The real store; what is fetched is noted."""

    fetched: ClassVar[list[str]] = []

    def fetch(self, key: str, to: Path, *, size: int) -> str:
        self.fetched.append(key.rpartition("/")[2])
        return super().fetch(key, to, size=size)


def load(database: Database, place: Path | str, *, again: bool = False, s3: S3Settings | None = None) -> ImportReport:
    own = SourceSettings(s3=s3 or S3Settings())
    feeds = Feeds(own, NYSE, lambda url: Objects(url, own.s3, {}), lambda: ForeignBars(own.postgres), None)
    noted = PostgresReadFiles(database)
    with feeds.file_rows(str(place), BarSize.DAY, print, None if again else noted.load) as (source, parts, rows):
        return import_rows(
            PostgresBars(database), NYSE, rows, parts=parts, size=BarSize.DAY, source=source,
            resolve=INSTRUMENTS.__getitem__, clock=FixedClock(NOW), progress=print, remember=noted.save,
        )  # fmt: skip


def counts(report: ImportReport) -> tuple[int, int, int]:
    """Files, files that were not read, and rows that were."""
    return report.files, report.files_unchanged, report.rows


def stored(database: Database, symbol: str = "IBM") -> pd.DataFrame:
    return PostgresBars(database).load_bars([CONIDS[symbol]], BarSize.DAY, START, END, is_validated=True)


def test_a_directory_that_did_not_change_is_not_read_again_unless_it_is_asked_for(
    database: Database, place: Path
) -> None:
    assert counts(load(database, place)) == (2, 0, len(BARS))
    assert counts(load(database, place)) == (2, 2, 0)
    again = load(database, place, again=True)
    assert (counts(again), again.unchanged) == ((2, 0, len(BARS)), len(BARS))
    assert counts(load(database, place / "ibm.csv")) == (1, 1, 0), "by itself it is the same file"
    (place / "ibm.csv").touch()
    os.utime(place / "msft.parquet", (0, 0))
    assert counts(load(database, place)) == (2, 2, 0), "what counts is the content"


def test_only_the_file_that_is_another_is_read(database: Database, place: Path) -> None:
    load(database, place)
    write_rows(of("IBM").assign(volume=of("IBM")["volume"] + (of("IBM").index == 7)), place / "ibm.csv")
    report = load(database, place)
    assert (counts(report), report.revised) == ((2, 1, len(of("IBM"))), 1)
    assert counts(load(database, place)) == (2, 2, 0)
    write_rows(of("IBM"), place / "ibm.csv")
    report = load(database, place)
    assert (counts(report), report.revised) == ((2, 1, len(of("IBM"))), 1), "only its newest content is known"


def test_a_file_of_another_name_is_read_and_writes_nothing(database: Database, place: Path) -> None:
    load(database, place)
    (place / "msft.parquet").rename(place / "other.parquet")
    report = load(database, place)
    assert (counts(report), report.unchanged, report.inserted) == ((2, 1, len(of("MSFT"))), len(of("MSFT")), 0)


def test_a_file_is_read_again_when_the_checksum_beside_it_is_another(database: Database, place: Path) -> None:
    load(database, place)
    beside = place / "ibm.csv.sha256"
    digest = hashlib.sha256((place / "ibm.csv").read_bytes()).hexdigest()
    beside.write_text(f"{'0' * 64}  ibm.csv\n")
    report = load(database, place)
    assert (counts(report), report.rejected) == ((2, 1, len(of("IBM"))), {"checksum": len(of("IBM"))})
    assert counts(load(database, place)) == (2, 2, 0), "the same rows would be refused again"
    beside.write_text(f"{digest.upper()}  ibm.csv\n")
    assert load(database, place).unchanged == len(of("IBM"))
    beside.write_text(f"{digest}  another name\n")
    assert counts(load(database, place)) == (2, 2, 0)


KILLED = """
import os, signal, sys
from pathlib import Path
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets_tests.ingest.test_read_files import load

PostgresBars.save_verdicts = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
load(Database(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_file_whose_bars_were_stored_and_not_judged_is_read_again(
    database: Database, database_url: str, place: Path
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, database_url, str(place)], check=False, capture_output=True, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    with database.connect() as connection:
        assert connection.execute("select count(*) from md.bar").fetchone() == (len(BARS),)
        assert connection.execute("select count(*) from md.bar_verdict").fetchone() == (0,)
    report = load(database, place)
    assert (counts(report), report.unchanged, report.accepted) == ((2, 0, len(BARS)), len(BARS), len(BARS))
    assert counts(load(database, place)) == (2, 2, 0)


def test_what_was_judged_before_an_import_broke_off_is_not_read_again(
    database: Database, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "BATCH_ROWS", 1)
    (place / "x.csv").write_text("opened_at,open\n2012-10-01,1\n")
    with pytest.raises(InputError, match=r"x\.csv has no column high"):
        load(database, place)
    (place / "x.csv").unlink()
    assert counts(load(database, place)) == (2, 2, 0)


def test_a_file_that_was_another_for_as_long_as_it_was_read_is_read_again(
    database: Database, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(path: Path, *arguments: object) -> FileRows:
        content = path.read_bytes()
        if path.suffix == ".csv":
            write_rows(of("IBM").assign(volume=1.0), path)
        rows = read_rows(path, *arguments)  # type: ignore[arg-type]
        path.write_bytes(content)
        return rows

    monkeypatch.setattr("ibkr_assets.ingest.read_files.read_rows", meanwhile)
    load(database, place / "ibm.csv")
    monkeypatch.undo()
    assert stored(database)["volume"].tolist() == [1.0] * len(of("IBM"))
    assert load(database, place / "ibm.csv").revised == len(of("IBM"))
    assert stored(database)["volume"].tolist() == of("IBM")["volume"].tolist()


def test_an_old_file_does_not_undo_what_another_corrected_since(
    database: Database, place: Path, tmp_path: Path
) -> None:
    load(database, place)
    corrected = of("IBM").iloc[[7]].assign(volume=123456.0)
    write_rows(corrected, tmp_path / "correction.csv")
    assert load(database, tmp_path / "correction.csv").revised == 1
    assert load(database, place).revised == 0
    assert stored(database).loc[7, ["volume", "version"]].tolist() == [123456.0, 2]
    assert load(database, place, again=True).revised == 1
    assert stored(database).loc[7, ["volume", "version"]].tolist() == [of("IBM")["volume"][7], 3]


def test_bars_after_a_corrected_one_are_judged_again_though_their_file_did_not_change(
    database: Database, tmp_path: Path
) -> None:
    """Prices ten times too low in the first of two files let the first bar of the second look like a jump."""
    bars = of("IBM")
    parts = {"a.parquet": bars[:30], "b.parquet": bars[30:]}
    wrong = parts["a.parquet"].assign(**{name: bars[name][:30] / 10 for name in ("open", "high", "low", "close")})
    for name, part in (parts | {"a.parquet": wrong}).items():
        write_rows(part, tmp_path / name)
    assert load(database, tmp_path).quarantined.total() > 0
    write_rows(parts["a.parquet"], tmp_path / "a.parquet")
    report = load(database, tmp_path)
    assert (counts(report), report.accepted, report.judged_again) == ((2, 1, 30), 30, len(bars) - 30)
    assert stored(database)["opened_at"].tolist() == bars["opened_at"].tolist()


def test_a_decision_on_a_bar_stays_when_its_file_is_read_again_or_not(database: Database, tmp_path: Path) -> None:
    from ibkr_assets.adapters.postgres.quarantine import PostgresQuarantine
    from ibkr_assets.market.quarantine import Decision

    bars = of("IBM")
    bars.loc[40:, ["open", "high", "low", "close"]] *= 3.3
    write_rows(bars, tmp_path / "x.csv")
    load(database, tmp_path)
    quarantine = PostgresQuarantine(database)
    cases = [case.id for case in quarantine.cases()]
    assert cases
    quarantine.decide(cases, Decision.RELEASE, actor="anna", reason="compared")
    for again in (False, True):
        load(database, tmp_path, again=again)
        assert len(stored(database)) == len(bars)
        assert quarantine.cases() == []


def test_a_file_with_rows_of_another_contract_is_read_again(database: Database, tmp_path: Path) -> None:
    """Whether they are depends on what is known of the instrument, and that may change."""
    of("IBM").assign(conid=1).to_csv(tmp_path / "ibm.csv", index=False)
    of("MSFT").to_csv(tmp_path / "msft.csv", index=False)
    for expected in ((2, 0, len(BARS)), (2, 1, len(of("IBM")))):
        assert counts(load(database, tmp_path)) == expected


def test_an_object_is_fetched_again_only_when_the_store_calls_its_content_otherwise(
    database: Database, bucket: Bucket, place: Path
) -> None:
    for file in place.iterdir():
        bucket.put(f"own/{file.name}", file.read_bytes())

    def fetched(prefix: str = "own") -> tuple[list[str], ImportReport]:
        Objects.fetched.clear()
        report = load(database, f"s3://{bucket.name}/{prefix}", s3=bucket.settings)
        return sorted(Objects.fetched), report

    assert fetched()[0] == ["ibm.csv", "msft.parquet"]
    keys, report = fetched()
    assert (keys, counts(report)) == ([], (2, 2, 0))
    assert fetched("own/ibm.csv")[0] == []

    content = (place / "ibm.csv").read_bytes()
    volume = str(int(of("IBM")["volume"][7])).encode()
    other = content.replace(volume, volume[:-1] + b"%d" % (9 - volume[-1] % 10))
    assert (len(other), other != content) == (len(content), True)
    bucket.put("own/ibm.csv", other)
    keys, report = fetched()
    assert (keys, counts(report)[:2], report.revised) == (["ibm.csv"], (2, 1), 1)

    upload = {"Bucket": bucket.name, "Key": "own/ibm.csv"}
    number = bucket.client.create_multipart_upload(**upload)["UploadId"]
    part = bucket.client.upload_part(**upload, UploadId=number, PartNumber=1, Body=other)
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    bucket.client.complete_multipart_upload(**upload, UploadId=number, MultipartUpload=parts)
    keys, report = fetched()
    assert (keys, report.unchanged) == (["ibm.csv"], len(of("IBM"))), "the same content by another name"
    assert fetched()[0] == []


def read_file(name: str, content: str) -> ReadFile:
    return ReadFile("/data", name, hashlib.sha256(content.encode()).hexdigest(), 7, "", "", "XNYS", 3, 1)


def test_what_is_noted_is_of_a_place_and_a_bar_size_and_the_newest(
    database_url_of: Callable[[str], str],
) -> None:
    database = Database(database_url_of("ibkr_app"))
    noted = PostgresReadFiles(database)
    noted.save([read_file("a", "1"), read_file("b", "1")], BarSize.DAY, now=NOW)
    noted.save([read_file("a", "2")], BarSize.DAY, now=NOW)
    noted.save([], BarSize.DAY, now=NOW)
    assert noted.load("/data", BarSize.DAY, ["a", "b", "c"]) == {"a": read_file("a", "2"), "b": read_file("b", "1")}
    assert list(noted.load("/data", BarSize.DAY, ["b"])) == ["b"]
    assert noted.load("/data", BarSize.MINUTE, ["a"]) == noted.load("/", BarSize.DAY, ["a"]) == {}
    database.close()

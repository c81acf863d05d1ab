"""Runs whose bars are not the broker's: by the settings alone, through every asset, and read as of then afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.features.compute import compute_features
from ibkr_assets.ingest.bar_files import write_rows
from ibkr_assets.ports import StrategyRecord
from ibkr_assets_tests.defs.chain import FIVE, STRATEGY, Chain, checks_of, metadata_of
from ibkr_assets_tests.fakes.tape import CONIDS, real_bars
from ibkr_assets_tests.foreign import Foreign, foreign_database

DAY = date(2012, 9, 28)
#: What the predecessor had: 46 daily rows of one symbol in a table.
BARS = real_bars("IBM", end=DAY).tail(46).reset_index(drop=True)
SHORT = StrategyRecord(**{**{name: getattr(STRATEGY, name) for name in StrategyRecord.__slots__},
                          "symbols": ("IBM",), "params": {"fast": 5, "slow": 20}})  # fmt: skip
pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),  # of MLflow's own database code
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def foreign(postgres_server) -> Iterator[Foreign]:
    with foreign_database(postgres_server) as made:
        yield made


def of_postgres(foreign: Foreign, ids: Path) -> dict[str, Any]:
    ids.write_text(f"symbol,conid\nIBM,{CONIDS['IBM']}\n")
    table = foreign.settings(time_zone="America/New_York").model_dump() | {"url": foreign.url}
    return {"bars": "postgres", "instruments": ids, "postgres": table}


@pytest.mark.slow
def test_the_predecessors_table_goes_through_bars_features_signals_and_mlflow_and_a_second_run_writes_nothing(
    database: Database, database_url: str, foreign: Foreign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MLflow's artifacts go there
    foreign.create(("text", "timestamp", "double precision", "double precision", "double precision", "numeric", "int8"))
    foreign.add_bars(BARS, [opened.date() for opened in BARS["opened_at"]])
    with dg.DagsterInstance.ephemeral() as instance:
        chain = Chain(
            database, database_url, instance, strategies=(SHORT,), sources=of_postgres(foreign, tmp_path / "ids.csv"),
            mlflow_uri=f"sqlite:///{tmp_path / 'mlflow.db'}",
        )  # fmt: skip
        chain.move_after_close(DAY)
        config = {"symbols": ["IBM"]}
        result = chain.run(DAY, **config)
        foreign.add([["IBM", "infinity", 1, 1, 1, 1, 1], ["IBM", None, 1, 1, 1, "NaN", 1]])
        again = chain.run(DAY, select=FIVE[:2], **config)
    assert all(checks_of(result).values()), checks_of(result)
    raw = metadata_of(result, "raw_bars")
    assert (raw["source"], raw["inserted"], raw["symbols"]) == ("postgres", len(BARS), "IBM")
    assert metadata_of(result, "signals")["dagster/row_count"] == 1
    assert "mlflow" in metadata_of(result, "signals")
    assert [metadata_of(again, "raw_bars")[name] for name in ("inserted", "revised")] == [0, 0]
    with database.connect() as connection:
        sources = connection.execute("select distinct source from md.bar").fetchall()
        rejected = connection.execute("select reason, count(*) from md.rejected_row group by 1 order by 1").fetchall()
    assert sources == [("postgres",)]
    assert rejected == [("missing_field", 1), ("unreadable", 1)]


def digest(frame: pd.DataFrame) -> str:
    return hashlib.sha256(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes()).hexdigest()


def test_re_running_a_day_writes_no_row_and_a_run_as_of_then_has_the_identical_hash_after_a_correction(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    write_rows(real_bars("IBM", start=date(2012, 4, 2), end=DAY), own / "IBM.parquet")
    (tmp_path / "ids.csv").write_text(f"symbol,conid\nIBM,{CONIDS['IBM']}\n")
    sources = {"bars": "directory", "directory": own, "instruments": tmp_path / "ids.csv"}
    start, end = datetime(2012, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC)

    def rows() -> list[Any]:
        tables = ("md.bar", "md.bar_verdict", "md.rejected_row", "research.feature", "research.signal")
        with database.connect() as connection:
            return [connection.execute(f"select * from {table} order by 1, 2, 3, 4").fetchall() for table in tables]

    def as_of(moment: datetime) -> tuple[str, str]:
        bars = chain.bar_store.load_bars([CONIDS["IBM"]], BarSize.DAY, start, end, is_validated=True, as_of=moment)
        return digest(bars), digest(compute_features(bars))

    with dg.DagsterInstance.ephemeral() as instance:
        chain = Chain(database, database_url, instance, strategies=(SHORT,), sources=sources)
        chain.move_after_close(DAY)
        chain.run(DAY, select=FIVE[:4], symbols=["IBM"])
        first, then = rows(), chain.clock.now()
        chain.run(DAY, select=FIVE[:4], symbols=["IBM"])
        assert rows() == first, "not a row was written, changed or taken away"
        before = as_of(then)
        corrected = real_bars("IBM", start=date(2012, 4, 2), end=DAY)
        corrected.loc[corrected.index[-1], "close"] -= 0.01
        write_rows(corrected, own / "IBM.parquet")
        chain.clock.moment += timedelta(hours=1)
        assert metadata_of(chain.run(DAY, select=FIVE[:4], symbols=["IBM"]), "raw_bars")["revised"] == 1
        assert as_of(then) == before
        assert as_of(chain.clock.now()) != before

"""`bars features` and a backtest of stored bars, over a real database, with a split in the bars."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.corporate_actions import PostgresCorporateActions
from ibkr_assets.cli.main import app
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.ingest.bar_files import write_rows
from ibkr_assets.market.adjustment import ActionKind, CorporateAction, adjust
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars

SPLIT = CorporateAction(CONIDS["AAPL"], date(2005, 2, 28), ActionKind.SPLIT, Decimal(2))
BARS = real_bars("AAPL", start=date(2004, 9, 1), end=date(2005, 5, 31))
KNOWN = datetime(2005, 6, 1, tzinfo=UTC)


@pytest.fixture
def ask(database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("IBKR_ASSETS_DATABASE_URL", database_url)
    monkeypatch.setenv("IBKR_ASSETS_DATA_DIR", str(tmp_path / "data"))
    store = PostgresBars(database)
    store.save_instruments([INSTRUMENTS["AAPL"]])
    store.save_bars(BARS, BarSize.DAY, source="tape", known_from=KNOWN)
    stored = store.load_bars([SPLIT.conid], BarSize.DAY, datetime(2000, 1, 1, tzinfo=UTC), KNOWN)
    store.save_verdicts(BarSize.DAY, stored, stored.head(0).assign(reason=""))
    PostgresCorporateActions(database).save(SPLIT, source="tape", actor="a test", known_from=KNOWN)

    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False, standalone_mode=False)
        return json.loads(done.stdout)

    return run


def test_features_of_all_stored_bars_are_stored_and_a_second_time_nothing(
    ask: Callable[..., Any], database: Database
) -> None:
    report = ask("bars", "features")
    assert (report["instruments"], report["rows"]) == (1, len(BARS))
    query = "select count(*), count(distinct input_sha256), max(ctid::text) from research.feature"
    with database.connect() as connection:
        first = connection.execute(query).fetchone()
    assert ask("bars", "features", "--from", "2005-02-01", "--to", "2005-03-31")["rows"] == 41
    with database.connect() as connection:
        assert connection.execute(query).fetchone() == first
    assert first is not None
    assert first[:2] == (len(BARS), 1)


def test_a_backtest_of_stored_bars_sees_no_loss_in_a_split(ask: Callable[..., Any], tmp_path: Path) -> None:
    options = ("--param", "fast=5", "--param", "slow=20", "--no-track", "--out", str(tmp_path / "out"))
    stored = ask("backtest", "sma_cross", "--symbols", "AAPL", *options)
    write_rows(adjust(BARS, [SPLIT], as_of=date(2005, 5, 31)).drop(columns="factor"), tmp_path / "AAPL.parquet")
    of_file = ask("backtest", "sma_cross", "--bars", str(tmp_path / "AAPL.parquet"), *options)
    assert stored["final_equity"] == of_file["final_equity"]
    write_rows(BARS, tmp_path / "AAPL.parquet")
    raw = ask("backtest", "sma_cross", "--bars", str(tmp_path / "AAPL.parquet"), *options)
    assert raw["final_equity"] < 0.75 * stored["final_equity"]

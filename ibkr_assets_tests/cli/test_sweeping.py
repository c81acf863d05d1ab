"""`bars sweep`, `bars hours` and `bars listed` as a person meets them, over a real database and a real gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.hours import PostgresHours
from ibkr_assets.cli.main import app
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.ingest.validation import validate_sessions
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.market.hours import HoursDifference
from ibkr_assets_tests.fakes.tape import INSTRUMENTS, real_bars
from ibkr_assets_tests.gateway import start_gateway

NYSE = exchange_calendar("XNYS")
HOLE, LAST = date(2012, 11, 7), date(2012, 11, 21)
NOW = NYSE.session(LAST).closes_at + timedelta(hours=2)
Ask = Callable[..., Any]


@pytest.fixture
def ask(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setenv("IBKR_ASSETS_DATABASE_URL", database_url)
    monkeypatch.setenv("IBKR_ASSETS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("IBKR_ASSETS_MODE", "sim")
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.fixture
def store(database: Database) -> PostgresBars:
    """October and November of IBM, with a hole."""
    store = PostgresBars(database)
    store.save_instruments([INSTRUMENTS["IBM"]])
    bars = real_bars("IBM", start=date(2012, 10, 1), end=LAST)
    store.save_bars(bars[bars["opened_at"].dt.date != HOLE], BarSize.DAY, source="test", known_from=NOW)
    return store


def test_a_sweep_over_the_gateway_fills_the_hole_and_the_hours_agree(
    ask: Ask, store: PostgresBars, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_gateway(clock_start=NOW) as gateway:
        monkeypatch.setenv("IBKR_ASSETS_GATEWAY_URL", gateway.api_url)
        monkeypatch.setenv("IBKR_ASSETS_CLOCK_URL", gateway.clock_url)
        swept = ask("bars", "sweep", "--json")
        hours = ask("bars", "hours", "--json")
    assert swept.exit_code == 0, swept.output
    report = json.loads(swept.stdout)
    assert (report["open"], report["tried"], report["filled"]) == (1, 1, 1)
    session = NYSE.session(HOLE)
    filled = store.load_bars([8314], BarSize.DAY, session.opens_at, session.closes_at, is_validated=True)
    assert filled["close"].tolist() == real_bars("IBM", start=HOLE, end=HOLE)["close"].tolist()
    assert (hours.exit_code, json.loads(hours.stdout)) == (0, [])


def test_hours_that_differ_are_shown_until_they_are_settled(ask: Ask, store: PostgresBars, database: Database) -> None:
    day, found = date(2012, 11, 23), HoursDifference(date(2012, 11, 23), "14:30-18:00 UTC", "closed")
    PostgresHours(database).save_hours(8314, "XNYS", [found], first=day, last=day, now=NOW)
    shown = ask("bars", "hours", "--stored", "--json")
    (row,) = json.loads(shown.stdout)
    assert (shown.exit_code, row["symbol"], row["session"], row["broker_hours"]) == (1, "IBM", "2012-11-23", "closed")
    PostgresHours(database).save_hours(8314, "XNYS", [], first=day, last=day, now=NOW)
    assert ask("bars", "hours", "--stored", "--json").exit_code == 0
    assert len(json.loads(ask("bars", "hours", "--stored", "--all", "--json").stdout)) == 1


def test_bars_before_the_day_that_a_person_names_are_kept_back(ask: Ask, store: PostgresBars) -> None:
    assert ask("bars", "listed", "IBM", "2012-10-03").exit_code == 0
    sessions = NYSE.sessions(date(2012, 10, 1), date(2012, 10, 5))
    report = validate_sessions(store, NYSE, instruments=[INSTRUMENTS["IBM"]], sessions=sessions)
    assert report.quarantined["reason"].tolist() == ["before_listing"] * 2
    assert "XYZ" in str(ask("bars", "listed", "XYZ", "2012-10-03").exception)

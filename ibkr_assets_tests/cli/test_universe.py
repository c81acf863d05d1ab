"""`ibkr-assets universe` over a real database, and a run that looks at what it says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.universe import PostgresUniverse
from ibkr_assets.domain.errors import InputError
from ibkr_assets_tests.cli.test_commands import run
from ibkr_assets_tests.defs.chain import Chain, metadata_of

Ask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ask(database_url: str, tmp_path: Path) -> Ask:
    env = {"IBKR_ASSETS_DATABASE_URL": database_url, "IBKR_ASSETS__MARKET__SYMBOLS": '["IBM","MSFT"]'}
    return lambda *arguments: run(*arguments, data_dir=tmp_path, env=env)


def test_a_person_adds_removes_and_sees_who_did_when(ask: Ask) -> None:
    added = ask("universe", "add", "AAPL", "GOOG", "--from", "2012-06-01", "--reason", "wanted")
    assert (added.returncode, added.stderr.splitlines()[0]) == (0, "AAPL: a member from 2012-06-01 on")
    assert ask("universe", "remove", "IBM", "--from", "2012-09-03", "--reason", "merger").returncode == 0
    listed = json.loads(ask("universe", "list", "--on", "2012-06-01", "--json").stdout)
    assert [row["symbol"] for row in listed] == ["IBM", "MSFT", "AAPL", "GOOG"]
    assert (listed[0]["by"], listed[2]["since"]) == ("settings (market.symbols)", "2012-06-01")
    assert ask("universe", "list", "--on", "2012-09-03").stdout.count("\n") == 4
    history = json.loads(ask("universe", "history", "--json").stdout)
    assert [(row["symbol"], row["is_member"], row["reason"]) for row in history] == [
        ("AAPL", True, "wanted"), ("GOOG", True, "wanted"), ("IBM", False, "merger")
    ]  # fmt: skip
    assert ask("universe", "add", "nvda", "--reason", "x").returncode == 2


def test_a_change_that_changes_nothing_is_none_and_none_is_ever_altered(database: Database) -> None:
    universe = PostgresUniverse(database, ["IBM"])
    day = date(2012, 6, 1)
    assert not universe.change("IBM", is_member=True, day=day, reason="r", actor="anna")
    assert universe.change("IBM", is_member=False, day=day, reason="r", actor="anna")
    assert not universe.change("IBM", is_member=False, day=date(2012, 7, 2), reason="r", actor="anna")
    assert universe.members([date(2012, 5, 31), day]) == ("IBM",)
    with pytest.raises(InputError, match="no symbol is a member on 2012-06-01"):
        universe.members([day])
    with database.connect() as connection, pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        connection.execute("update md.universe_change set symbol = 'X'")


def test_the_next_run_looks_at_what_was_added_and_a_run_of_an_earlier_session_does_not(
    database: Database, database_url: str
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        chain = Chain(database, database_url, instance)
        universe = PostgresUniverse(database, chain.settings.market.symbols)
        first, second = date(2012, 10, 1), date(2012, 10, 2)
        for symbol in ("AAPL", "FB", "GOOG"):
            universe.change(symbol, is_member=False, day=date(2012, 9, 4), reason="r", actor="anna")
        universe.change("AAPL", is_member=True, day=second, reason="r", actor="anna")
        chain.move_after_close(second)
        seen = [metadata_of(chain.run(day, select=("raw_bars",)), "raw_bars")["symbols"] for day in (first, second)]
        assert seen == ["IBM, MSFT", "AAPL, IBM, MSFT"]
        both = chain.run((first, second), select=("raw_bars", "validated_bars"))
        assert metadata_of(both, "raw_bars")["symbols"] == "IBM, MSFT, AAPL"
        assert metadata_of(chain.run(second, select=("raw_bars",), symbols=["FB"]), "raw_bars")["symbols"] == "FB"

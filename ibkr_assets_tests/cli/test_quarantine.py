"""`ibkr-assets quarantine` as a person meets it, over a real database."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets_tests.cli.test_commands import run
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars


@pytest.fixture
def kept_back(database: Database) -> str:
    """The id of a bar of IBM that waits for a decision."""
    store = PostgresBars(database)
    store.save_instruments([INSTRUMENTS["IBM"]])
    bars = real_bars("IBM", start=date(2012, 11, 21), end=date(2012, 11, 21))
    store.save_bars(bars, BarSize.DAY, source="test", known_from=datetime(2012, 11, 22, tzinfo=UTC))
    judged = bars.assign(version=1, reason="too_big_jump")
    store.save_verdicts(BarSize.DAY, judged.head(0), judged)
    return f"{CONIDS['IBM']}-1d-20121121T143000Z-1"


def test_a_bar_is_listed_shown_and_released_and_what_rests_on_it_is_said(
    kept_back: str, database_url: str, tmp_path: Path
) -> None:
    def ask(*arguments: str) -> object:
        done = run("quarantine", *arguments, data_dir=tmp_path, env={"IBKR_ASSETS_DATABASE_URL": database_url})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    (listed,) = ask("list", "--json")
    assert (listed["id"], listed["found"]) == (kept_back, "too_big_jump")
    assert "25 %" in ask("show", kept_back)["meaning"]
    released = ask("release", kept_back, "--reason", "checked", "--json")
    assert released["changed"] == [kept_back]
    assert released["recompute"]["partitions"] == {
        "validated_bars": ["2012-11-21"], "enriched_features": ["2012-11-21"]
    }  # fmt: skip
    assert ask("list", "--json") == []

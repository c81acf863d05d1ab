"""Giving and taking permission to trade, as a person types it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ibkr_assets import settings as configuration
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.cli import permission
from ibkr_assets.cli.arming import arming_evidence, session_end
from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.domain.order import Mode, account_ref
from ibkr_assets.execution.kill import kill_file, read_kill_file

REF = account_ref("DU1000001")


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: Database) -> Database:
    """The commands of this process find the database of the test."""
    for name, value in {
        "IBKR_ASSETS_MODE": "sim", "IBKR_ASSETS_ACCOUNT": "DU1000001", "IBKR_ASSETS_DATABASE_URL": database.url,
        "IBKR_ASSETS_DATA_DIR": str(tmp_path),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return database


def controls(database: Database) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        return connection.execute("select action, scope, reason from oms.control order by control_id").fetchall()


def blocked(database: Database) -> str | None:
    with database.connect() as connection:
        row = connection.execute("select oms.blocked_by(%s, 's1', 1)", (REF,)).fetchone()
    assert row is not None
    return row[0]


def test_a_disarm_is_taken_back_by_an_arm_and_a_kill_by_a_resume(at_home: Database) -> None:
    permission.disarm("end of day")
    assert str(blocked(at_home)).startswith("disarm of global")
    permission.arm("opening watched", length="90m")
    assert blocked(at_home) is None
    permission.kill("wrong prices", cancel=True)
    permission.arm("never mind")
    assert str(blocked(at_home)).startswith("kill_cancel of global"), "no arm takes a kill back"
    permission.resume("prices checked")
    assert blocked(at_home) is None
    assert [row[0] for row in controls(at_home)] == ["disarm", "arm", "kill_cancel", "arm", "resume"]
    with at_home.connect() as connection:
        row = connection.execute("select session, expires_at - at from oms.control where action = 'arm'").fetchone()
    assert row is not None
    assert "@" in row[0]
    assert row[1] <= timedelta(minutes=90)


def test_the_local_file_takes_the_level_and_resume_takes_it_away(at_home: Database, tmp_path: Path) -> None:
    permission.kill("wrong prices", cancel=True, local=True)
    said = read_kill_file(kill_file(tmp_path))
    assert said is not None
    assert (said.level, said.reason) == ("kill_cancel", "wrong prices")
    assert controls(at_home) == []
    permission.resume("checked", local=True)
    assert read_kill_file(kill_file(tmp_path)) is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"until": "tomorrow"}, "until: ISO 8601, got 'tomorrow'"),
        ({"length": "2 days"}, "for: minutes or hours"),
        ({"until": "2026-11-23T20:00:00Z", "length": "1h"}, "until, for: name one of them"),
        ({"account": "U1"}, "account: not the one that the settings pin"),
        ({"until": "2020-01-01T00:00:00Z"}, "an arm ends within five days from now"),
    ],
)
def test_what_an_arm_cannot_be_is_refused_with_a_reason(at_home: Database, more: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        permission.arm("a test", **more)
    assert controls(at_home) == []


def test_flattening_is_off_and_needs_the_database(at_home: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="may_flatten: is off"):
        permission.kill("wrong prices", flatten=True)
    with pytest.raises(InputError, match="flatten: positions are closed through the database alone"):
        permission.kill("wrong prices", flatten=True, local=True)
    monkeypatch.setenv("IBKR_ASSETS__MAY_FLATTEN", "true")
    permission.kill("wrong prices", flatten=True)
    assert controls(at_home) == [("kill_cancel", f"account:{REF}", "wrong prices")], "it waits for a second person"


@pytest.mark.parametrize(
    ("now", "end"),
    [
        (datetime(2026, 11, 23, 15, tzinfo=UTC), datetime(2026, 11, 23, 21, tzinfo=UTC)),
        (datetime(2026, 11, 23, 22, tzinfo=UTC), datetime(2026, 11, 24, 21, tzinfo=UTC)),
        (datetime(2026, 11, 25, 22, tzinfo=UTC), datetime(2026, 11, 27, 18, tzinfo=UTC)),  # holiday, then a short day
        (datetime(2026, 11, 21, 12, tzinfo=UTC), datetime(2026, 11, 23, 21, tzinfo=UTC)),
    ],
)
def test_an_arm_lasts_to_the_close_of_the_session_that_is_on_or_comes_next(now: datetime, end: datetime) -> None:
    assert session_end(configuration.load({}), now) == end


def test_live_is_armed_by_a_file_and_three_clean_paper_sessions_alone(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 11, 23, 15, tzinfo=UTC)
    config = tmp_path / "live.yaml"
    config.write_text("mode: live\n")

    def evidence(**variables: str) -> dict[str, Any]:
        environment = {
            "IBKR_ASSETS_MODE": "live", "IBKR_ASSETS_DATABASE_URL": database.url,
            "IBKR_ASSETS_GATEWAY_URL": "https://localhost:5000/v1/api", **variables,
        }  # fmt: skip
        return arming_evidence(configuration.load(environment), now)

    with pytest.raises(ConfigurationError, match="config: mode live is set in the file"):
        evidence()
    monkeypatch.setenv("IBKR_ASSETS_CONFIG", str(config))
    with pytest.raises(ConfigurationError, match="paper_record: IBKR_ASSETS_PAPER_DATABASE_URL names no database"):
        evidence()
    paper = {"IBKR_ASSETS_PAPER_DATABASE_URL": database.url}
    with pytest.raises(ConfigurationError, match="paper_record: 0 paper sessions on record, 3 are needed"):
        evidence(**paper)
    PostgresLedger(database).of_account(REF).lease.register("DU1000001", Mode.PAPER)
    with database.connect() as connection:
        for day in (18, 19, 20):
            connection.execute(
                "insert into oms.account_snapshot (account_ref, epoch, market_at, cash_usd, accrued_dividends_usd, "
                "positions_value_usd, nav_platform_usd, nav_broker_usd, broker_cash_usd, positions) "
                "values (%s, 1, %s, 1, 0, 0, 1, 1, 1, '[]')", (REF, datetime(2026, 11, day, 20, tzinfo=UTC)),
            )  # fmt: skip
    kept = evidence(**paper)
    assert [session["day"] for session in kept["paper_sessions"]] == ["2026-11-20", "2026-11-19", "2026-11-18"]
    assert kept["violations"] == []
    with database.connect() as connection:
        connection.execute(
            "insert into oms.recon_run (account_ref, epoch, kind, gateway_session, market_at, finished_at, is_clean) "
            "values (%s, 1, 'start', 'x', %s, now(), false)", (REF, datetime(2026, 11, 19, 15, tzinfo=UTC)),
        )  # fmt: skip
    with pytest.raises(ConfigurationError, match="2026-11-19 was not clean: a reconciliation was not clean"):
        evidence(**paper)

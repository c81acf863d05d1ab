"""`ibkr-assets intents release` as a person runs it, over a real ledger."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.cli.main import app
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.risk.engine import Denied, Exposure
from ibkr_assets_tests.execution.desk import EVENING, an_intent


def deny(intent: OrderIntent, exposure: Exposure) -> Denied:
    """A review that finds a look-alike."""
    del exposure
    return Denied(intent, "look_alike", "looks like another", ())


def test_a_person_releases_what_was_denied_and_nothing_else(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IBKR_ASSETS_DATABASE_URL", database_url)
    order = an_intent()
    PostgresIntents(database, "salt").propose(order, deny, now=EVENING, dagster_run_id=None, created_by="test")
    words = ["intents", "release", order.decision_key, "--reason", "both mean it"]
    said = CliRunner().invoke(app, words, catch_exceptions=False, standalone_mode=False)
    assert (said.exit_code, said.output) == (0, f"released {order.decision_key}: both mean it\n")
    with database.connect() as connection:
        rows = connection.execute("select decision_key, code, reason from oms.risk_release").fetchall()
    assert rows == [(order.decision_key, "look_alike", "both mean it")]
    with pytest.raises(InputError, match="was not denied with code 'gross'"):
        CliRunner().invoke(app, [*words, "--code", "gross"], catch_exceptions=False, standalone_mode=False)

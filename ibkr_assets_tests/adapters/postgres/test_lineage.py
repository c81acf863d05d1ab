"""An order followed back: every link of a real chain, by every name it has, and what is missing where nothing was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.lineage import PostgresLineage
from ibkr_assets.cli.story import tell
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.features.definition import FEATURES
from ibkr_assets_tests.databases import fresh_database
from ibkr_assets_tests.execution.decided import DAY, FB, SESSION, VERSION, Decided, decide
from ibkr_assets_tests.execution.desk import EVENING, an_intent, approve
from ibkr_assets_tests.fakes.tape import real_bars


@pytest.fixture(scope="module")
def decided(postgres_server, _template, tmp_path_factory) -> Iterator[Decided]:
    """One filled order, for tests that only read."""
    with fresh_database(postgres_server, _template) as name:
        database = Database(postgres_server.url(name, "ibkr_platform"))
        yield decide(database, tmp_path_factory.mktemp("decided"))
        database.close()


def test_every_link_from_the_fill_to_the_bars_is_there(decided: Decided) -> None:
    found = decided.document()
    intent = decided.record.intent
    assert found["missing"] == []
    assert [(fill["side"], Decimal(fill["quantity"])) for fill in found["fills"]] == [("BUY", intent.quantity)]
    assert [event["to_state"] for event in found["timeline"]] == [
        "PROPOSED", "APPROVED", "SUBMITTING", "QUESTION", "CONFIRMING", "ACKED", "WORKING", "FILLED",
    ]  # fmt: skip
    assert [(call["kind"], call["outcome"]) for call in found["calls"]] == [("place", "question"), ("reply", "ok")]
    assert found["calls"][0]["request"]["cOID"] == decided.record.client_order_id
    assert "FB" in found["questions"][0]["texts"][0]
    assert found["questions"][0]["decision"] == "confirm"
    assert found["risk"]["is_approved"]
    assert {"order_value", "position", "data"} <= {finding["code"] for finding in found["risk"]["findings"]}
    assert found["risk"]["limits"]["allowed_symbols"] == ["FB"]
    assert found["risk"]["facts"]["nav_usd"] is not None
    assert (Decimal(found["plan"]["nav_usd"]), found["plan"]["sizing"]["spec"]) == (100_000, "atr:0.1@2")
    assert (found["signal"]["direction"], found["signal"]["revision"]) == ("long", 1)
    assert found["strategy"]["params"] == {"fast": 5, "slow": 20}
    assert found["runs"]["dagster"] == {"signal": "d1", "plan": "d2", "order": "d2"}
    assert found["runs"]["mlflow"] == {"run_id": "m1", "page": "/experiments/1/runs/m1"}


def test_the_bars_are_those_of_the_tape_and_the_numbers_are_theirs(decided: Decided) -> None:
    found = decided.document()
    tape = real_bars("FB", end=DAY).tail(20)
    assert [bar["close"] for bar in found["bars"]] == tape["close"].tolist()
    assert {bar["version"] for bar in found["bars"]} == {1}
    assert all(bar["row_sha"] == bar["sha_of_values"] for bar in found["bars"])
    lines = "\n".join(f"{b['conid']}|{b['opened_at']}|{b['version']}|{b['row_sha']}" for b in found["bars"])
    assert hashlib.sha256(lines.encode()).hexdigest() == found["signal"]["input_digest"]
    numbers = found["basis"]["numbers"]
    assert numbers["sma_5"] == pytest.approx(tape["close"].tail(5).mean())
    assert numbers["sma_20"] == pytest.approx(tape["close"].mean())
    assert found["basis"]["words"].startswith("long while the 5-bar average of the close is above the 20-bar average")
    assert set(found["basis"]["features"]) == set(FEATURES)


def test_the_bars_behind_the_features_are_all_there_ever_were(decided: Decided) -> None:
    lineage = PostgresLineage(decided.database)
    bars = lineage.feature_bars(lineage.document(decided.record.client_order_id))
    assert [bar["close"] for bar in bars] == real_bars("FB", end=DAY)["close"].tolist()


def test_signal_plan_and_decision_name_the_code_and_the_settings(decided: Decided) -> None:
    found = decided.document()
    for place in ("signal", "plan", "decision"):
        version = found["versions"][place]
        assert (version["code_sha256"], version["git_commit"]) == (VERSION.code_sha256, VERSION.git_commit)
        assert (version["config_sha256"], version["config"]) == (VERSION.config_sha256, VERSION.config)
        assert version["schema_revision"] == max(_revisions(decided.database))


def _revisions(database: Database) -> list[str]:
    with database.connect() as connection:
        return [row[0] for row in connection.execute("select version_num from platform.schema_version").fetchall()]


def test_an_order_is_found_by_each_of_its_names(decided: Decided) -> None:
    found = decided.document()
    order = found["order"]
    names = [order[n] for n in ("client_order_id", "decision_key", "broker_order_id", "intent_id")]
    names.append(found["fills"][0]["execution_id"])
    assert len(set(names)) == 5
    for name in names:
        assert {**decided.document(name), "asked": ""} == {**found, "asked": ""}
    with pytest.raises(InputError, match="order 'nobody': not known"):
        decided.document("nobody")


def test_the_document_is_json_without_nan_and_fits_a_screen_as_text(decided: Decided) -> None:
    found = decided.document()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    lines = tell(found, width=100).splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 65
    text = "\n".join(lines)
    for words in (
        "BUY 46 FB limit 22.64 OPG · FILLED, 46 filled at 21.99 · sim", "asked  o163", "atr:0.1@2", "SMA(5) 20.9740",
        "cross version 1: sma_cross(fast=5, slow=20)", "rsi_14", "2012-09-04 to 2012-10-01", "code c0de", "dagster d1",
    ):  # fmt: skip
        assert words in text, words


def test_a_corrected_bar_is_told_and_the_decision_still_shows_the_old_one(database: Database, tmp_path: Path) -> None:
    decided = decide(database, tmp_path, is_filled=False)
    bars = decided.store.load_bars([FB.conid], BarSize.DAY, SESSION.opens_at, SESSION.closes_at)
    decided.store.save_bars(
        bars.assign(close=bars["low"]), BarSize.DAY, source="later", known_from=EVENING + timedelta(days=1)
    )
    newest = decided.document()["bars"][-1]
    assert (newest["version"], newest["close"], newest["known_to"]) == (1, 21.99, "2012-10-02T21:00:00+00:00")
    assert "corrected since: 2012-10-01" in tell(decided.document(), width=100)


def test_an_order_from_outside_says_that_it_has_no_signal(database: Database) -> None:
    book = PostgresIntents(database, "salt")
    record = book.propose(an_intent(), approve, now=EVENING, dagster_run_id=None, created_by="intents add")
    found = PostgresLineage(database).document(record.client_order_id)
    assert {link["link"]: link["is_expected"] for link in found["missing"]} == {"facts": False, "plan": True}
    assert "proposed from outside" in tell(found, width=100)


def test_two_orders_of_one_broker_order_id_are_told_apart_by_another_name(decided: Decided, database: Database) -> None:
    book = PostgresIntents(database, "salt")
    for number in (1, 2):
        intent = an_intent(number, account_ref=f"acct-{number}")
        book.propose(intent, approve, now=EVENING, dagster_run_id=None, created_by="test")
    with database.connect() as connection:
        connection.execute("alter table oms.order_intent disable trigger user")
        connection.execute("update oms.order_intent set broker_order_id = '7'")
    with pytest.raises(InputError, match="2 orders have this name; ask for one of q1-"):
        PostgresLineage(database).document("7")


def test_an_approved_order_without_its_plan_signal_or_decision_breaks_an_invariant(
    database: Database, tmp_path: Path
) -> None:
    decided = decide(database, tmp_path, is_filled=False)

    def broken() -> list[str]:
        (found,) = [found for found in check_invariants(database) if found["id"] == "I15"]
        return list(found["examples"])

    assert broken() == []
    decided.forge("oms.plan", "update oms.plan set signal_id = null")
    assert broken() == []  # one from before the column is found by its content
    decided.forge("research.signal_basis", "delete from research.signal_basis")
    decided.forge("research.signal", "delete from research.signal")
    assert broken() == [decided.record.client_order_id]

"""The very commands of docker-compose.yml, each in the surroundings of its container, and a session through them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ibkr_assets_tests.compose import session, stranger
from ibkr_assets_tests.compose.engine import can_isolate, run_isolated

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(500),
    pytest.mark.skipif(not can_isolate(), reason="no mount and network namespaces for us on this machine"),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    work = tmp_path_factory.mktemp("compose")
    log = work / "engine.log"
    code = run_isolated(session.__name__, str(work), log=log, timeout_s=480)
    assert code == 0, f"{log.read_text()[-4000:]}\n{_last_words(work)}"
    document: dict[str, Any] = json.loads((work / "told.json").read_text())
    return document


def _last_words(work: Path) -> str:
    return "\n".join(f"{path.stem}: {path.read_text()[-600:]}" for path in sorted((work / "logs").glob("*.log")))


def test_a_run_that_asks_for_nothing_else_rehearses(told: dict[str, Any]) -> None:
    assert told["rehearsal"] == ["SUCCESS", ""]
    assert {state for _, _, state, _, _ in told["rehearsed"]} == {"NOT_PLACED"}
    assert told["accepted_of_rehearsal"] == []


def test_orders_are_accepted_at_the_gateway_and_filled_in_the_ledger(told: dict[str, Any]) -> None:
    filled = [row for row in told["orders"] if row[2] == "FILLED"]
    assert len(filled) >= 3, told["orders"]
    assert all(Decimal(quantity) > 0 for _, _, _, quantity, _ in filled)
    assert told["accepted"] == sorted(order for order, *_ in filled)
    assert {row[2] for row in told["orders"]} <= {"FILLED", "DENIED"}


def test_every_part_says_that_it_is_well(told: dict[str, Any]) -> None:
    ill = {name: said for name, said in told["doctor"].items() if said[0] is False}
    assert ill == {}
    assert {"database", "gateway", "market clock", "submitter", "watchdog", "mlflow", "dagster"} <= {
        name for name, said in told["doctor"].items() if said[0]
    }
    assert told["healthy"] == {"postgres": 0, "code": 0, "dashboard": 0}
    assert told["running"] == sorted(set(session.services()) - {"migrate"})


def test_the_session_is_tracked_by_an_mlflow_that_answers_its_own_names_alone(told: dict[str, Any]) -> None:
    assert told["mlflow_runs"] == 2  # the rehearsal's and the session's
    assert told["mlflow_answers"] == {"mlflow:5001": 200, "localhost:5001": 200, "evil.example": 403}


def test_a_container_writes_nothing_and_sees_no_secret_but_its_own(told: dict[str, Any]) -> None:
    assert told["inside_code"] == ["10001", "broker_password", "ibkr_app", "ibkr_dagster"]


def test_no_secret_stands_in_a_log_a_table_a_page_or_a_kept_file(told: dict[str, Any]) -> None:
    assert told["leaks"] == []
    assert told["looked_at"] > 150, "databases, logs, pages and volumes were looked at"


def test_the_dashboard_is_all_that_is_open_on_this_machine_and_nothing_to_a_stranger_beside_it(
    told: dict[str, Any],
) -> None:
    """Every port of both addresses is tried; containers listen on addresses that the stranger has no way to."""
    assert told["listening"] == {
        "postgres": [5432], "mlflow": [5001], "code": [4000], "webserver": [3000], "daemon": [], "submitter": [],
        "watchdog": [], "alerts": [], "dashboard": [8000], "simulated-gateway": [5000, 5010],
    }  # fmt: skip
    assert told["entered"] == 303, "the user of this machine logs in at the published port"
    assert told["open_here"] == [8000]
    assert told["open_outside"] == []
    assert told["open_outside_if_careless"] == [[stranger.MACHINE, session.CARELESS]]


def test_the_database_and_the_gateway_are_reached_by_those_alone_who_need_them(told: dict[str, Any]) -> None:
    """Each container tries every port of each other, on every address; who has no way out cannot tell anybody."""
    assert told["reached"]["postgres:5432"] == [
        "alerts", "code", "daemon", "dashboard", "mlflow", "submitter", "watchdog", "webserver",
    ]  # fmt: skip
    assert told["reached"]["simulated-gateway:5000"] == ["code", "submitter"]
    assert told["way_out"] == ["alerts", "code", "dashboard", "mlflow", "simulated-gateway", "submitter"]


def test_everything_ends_within_its_grace_when_asked(told: dict[str, Any]) -> None:
    assert {name: code for name, code in told["ended"].items() if code not in (0, 130, 143, -15)} == {}

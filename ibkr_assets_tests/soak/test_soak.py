"""A short soak over the whole stack: one session with faults and its night, and what it wrote, showed and opened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from ibkr_assets.dashboard.login import make_hash
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.children import inherited_environment, started
from ibkr_assets_tests.security import canaries
from ibkr_assets_tests.security.ports import answering, listening, outside_addresses
from ibkr_assets_tests.soak import faults
from ibkr_assets_tests.soak.report import Report, make_report
from ibkr_assets_tests.soak.run import Options, Soak
from ibkr_assets_tests.soak.stage import Stage, open_stage
from ibkr_assets_tests.soak.tape import symbols

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
OPTIONS = Options(sessions=1, symbols=3, every_min=390)


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Report]]:
    """The stack after its session, still standing."""
    days = exchange_calendar("XNYS").sessions(date(2012, 10, 2), date(2012, 10, 3))
    directory = tmp_path_factory.mktemp("soak")
    for path in (directory, directory.parent):
        path.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        for name, wanted in (("BY_DAY", {"F8", "F9"}), ("BY_EVENING", {"F1", "F28"}), ("ON_THE_LAST_EVENING", set())):
            few = tuple(fault for fault in getattr(faults, name) if fault["id"] in wanted)
            patch.setattr(f"ibkr_assets_tests.soak.run.{name}", few)
        with open_stage(directory, symbols(OPTIONS.symbols), days, seed=OPTIONS.seed, every_min=390) as stage:
            done = Soak(stage, OPTIONS, days, lambda _: None).run()
            yield stage, make_report(stage, done)


def test_faults_strike_orders_fill_and_no_exception_is_left_unhandled(soaked: tuple[Stage, Report]) -> None:
    _, report = soaked
    assert {name for name, count in report.struck.items() if count} >= {"F8", "F9", "F1"}
    assert report.fills > 0
    assert report.minutes == 390 * OPTIONS.symbols
    assert report.ended["collection SUCCESS"] >= 1
    assert report.ended["chain SUCCESS"] == 1
    assert (report.unforeseen, report.broken) == ({}, [])
    assert not any(report.restarts.values())


def test_no_planted_secret_stands_in_a_log_a_table_a_page_or_a_file(soaked: tuple[Stage, Report]) -> None:
    stage, report = soaked
    assert report.hits == []
    assert report.places > 150, "databases, logs and pages were looked at"
    # The search finds what it is for: the account's reference, which everything names.
    found, _ = canaries.search(stage.data_dir, stage.state(), stage.link(), {"reference": stage.ref})
    kinds = {hit.place.split()[0] for hit in found}
    assert {"table", "file", "page"} <= kinds


def test_no_port_of_the_stack_answers_outside_loopback(soaked: tuple[Stage, Report]) -> None:
    stage, _ = soaked
    sockets = listening([stage.process.pid, stage.gateway.process.pid])
    assert len(sockets) >= 7, "the gateway's two, Postgres, MLflow, the code server, the webserver, the dashboard"
    assert {address for address, _ in sockets} <= {"127.0.0.1", "::1"}
    assert answering(port for _, port in sockets) == set()


def test_the_dashboard_answers_outside_where_it_was_bound_so_and_only_with_users(
    soaked: tuple[Stage, Report],
) -> None:
    stage, _ = soaked
    (address,) = [one for one in outside_addresses() if ":" not in one][:1] or [None]
    if address is None:
        pytest.skip("this machine has no address but loopback")
    environment: dict[str, Any] = dict(stage.state()["environment"]) | {
        "IBKR_ASSETS__DASHBOARD__HOST": address, "IBKR_ASSETS__DASHBOARD__PORT": "0",
    }  # fmt: skip
    command = [sys.executable, "-m", "ibkr_assets.cli", "dashboard", "run"]
    refused = subprocess.run(
        command, env=inherited_environment() | environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 78
    assert "is not loopback, and there is no user with a password" in refused.stderr
    users = [{"name": "anna", "role": "viewer", "password_hash": make_hash(os.urandom(12).hex())}]
    environment["IBKR_ASSETS__DASHBOARD__USERS"] = json.dumps(users)
    with started(command, ready_lines=1, environment=environment) as (process, _):
        ports = {port for _, port in listening([process.pid])}
        assert answering(ports) == {(address, port) for port in ports}

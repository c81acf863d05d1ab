"""The page about the simulated gateway and its examples do what they say: every command on it is run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ibkr_assets.simulator.face.admin import admin_routes
from ibkr_assets.simulator.faults.board import FaultBoard
from ibkr_assets.simulator.faults.table import TABLE
from ibkr_assets_tests.docs.pages import broken_promises, free_ports
from ibkr_assets_tests.gateway import RunningGateway, start_gateway

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "simulated-gateway.md").read_text()
_BOUND_S = 60


def test_every_command_of_the_page_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    ports = dict(zip(("5055", "5056", "5057", "5058"), free_ports(4), strict=True))
    assert broken_promises(PAGE, tmp_path, ports) == []


def test_the_page_names_every_fault_and_no_other() -> None:
    named = dict(re.findall(r"^\| (F\d+) \| (.*?) \|", PAGE, re.MULTILINE))
    assert named == {fault.id: fault.title for fault in TABLE.values()}


def test_the_page_names_no_admin_call_that_is_not_there() -> None:
    paths = {path.replace("{fault_id}", "F5") for _, path in admin_routes(FaultBoard(0)).paths()}
    assert set(re.findall(r"/admin/[a-zA-Z0-9/]+", PAGE)) <= paths


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with start_gateway(clock_start="2012-10-01T13:00:00+00:00") as running:
        yield running


def run(gateway: RunningGateway, *command: str) -> str:
    gateway.restart_session()
    ended = subprocess.run(
        [*command, gateway.api_url], cwd=ROOT, capture_output=True, text=True, timeout=_BOUND_S, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [row["event"] for row in gateway.ledger()][-2:] == ["accept", "cancel"]
    return ended.stdout


def test_the_public_client_s_example_runs(gateway: RunningGateway) -> None:
    said = run(gateway, sys.executable, "examples/ibind_quickstart.py")
    assert "AAPL is conid 265598\nlast price 667.105\n" in said
    assert "its limit price is 600.39\nRequest was submitted\nworth 100,000.00 USD\n" in said


def test_the_shell_s_example_runs(gateway: RunningGateway) -> None:
    said = run(gateway, "bash", "examples/curl_order.sh")
    assert "account DU1000001\nquestion o163: yes\nquestion o354: yes\n" in said
    assert '"msg":"Request was submitted"' in said


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not here")
def test_the_javascript_example_runs(gateway: RunningGateway) -> None:
    said = run(gateway, "node", "examples/node_quickstart.mjs")
    assert "AAPL is conid 265598\nlast price 667.105\nquestion o163: yes\n" in said
    assert said.endswith("Request was submitted\n")

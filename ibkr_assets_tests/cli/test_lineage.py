"""`why` and `replay` as a person meets them: what they print, the JSON, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ibkr_assets.cli.main import app
from ibkr_assets.domain.errors import InputError
from ibkr_assets_tests.execution.decided import decide


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    return {
        "IBKR_ASSETS_DATABASE_URL": database_url,
        "IBKR_ASSETS_DATA_DIR": str(tmp_path),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9/mlflow/",
    }


def test_an_order_is_explained_and_computed_again_from_the_command_line(
    database, environment: dict[str, str], tmp_path: Path
) -> None:
    decided = decide(database, tmp_path)
    name, runner = decided.record.client_order_id, CliRunner(env=environment)
    told = runner.invoke(app, ["why", name])
    assert told.exit_code == 0
    assert told.stdout.startswith("BUY 46 FB limit 22.64 OPG · FILLED")
    assert "mlflow http://127.0.0.1:9/mlflow/#/experiments/1/runs/m1" in told.stdout
    found = json.loads(runner.invoke(app, ["why", name, "--json"], catch_exceptions=False).stdout)
    assert found["runs"].pop("urls") == {"m1": "http://127.0.0.1:9/mlflow/#/experiments/1/runs/m1"}
    assert found == decided.document()

    same = runner.invoke(app, ["replay", name])
    assert (same.exit_code, same.stdout.splitlines()[0]) == (0, "identical")
    with decided.forged("oms.plan", "nav_usd = 50000", "nav_usd = 100000"):
        differs = runner.invoke(app, ["replay", name])
        as_json = runner.invoke(app, ["replay", name, "--json"])
    assert differs.exit_code == as_json.exit_code == 1
    assert differs.stdout.splitlines()[:3] == ["different in sizing: quantity", "  stored   46", "  computed 23"]
    answer = json.loads(as_json.stdout)
    assert answer["is_identical"] is False
    assert answer["replay"]["difference"]["field"] == "quantity"

    with pytest.raises(InputError, match="nobody"):
        runner.invoke(app, ["why", "nobody"], catch_exceptions=False)

"""What Dagster loads, and that it loads anywhere, quickly and with nothing running."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from ibkr_assets.definitions import build, defs
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.settings import Settings

ROOT = Path(__file__).parents[2]


def test_definitions_are_loadable() -> None:
    dg.Definitions.validate_loadable(defs)


def test_the_chain_is_as_it_is_drawn() -> None:
    graph = defs.resolve_asset_graph()
    lines = [
        f"{node.key.to_user_string()} <- {[k.to_user_string() for k in sorted(node.parent_keys)]} "
        f"{sorted(check.name for check in node.check_keys)}"
        for node in (graph.get(key) for key in graph.toposorted_asset_keys)
    ]
    assert sorted(lines) == sorted([
        "bar_scale <- [] ['no_scale_has_changed']",
        "bar_sweep <- [] ['no_gap_is_given_up']",
        "broker_hours <- [] ['hours_agree']",
        "portfolio <- [] ['holdings_follow_decisions', 'nav_is_fresh']",
        "reconciliation <- [] ['books_agree']",
        "backtests <- [] []",
        "sweeps <- [] []",
        "raw_bars <- [] ['bars_are_complete', 'bars_are_fresh']",
        "validated_bars <- ['raw_bars'] ['bars_are_sound']",
        "enriched_features <- ['validated_bars'] ['features_are_numbers']",
        "signals <- ['enriched_features'] ['run_is_tracked', 'signals_are_whole']",
        "orders <- ['signals'] ['ledger_is_consistent']",
        "parity <- ['orders'] ['parity_is_exact']",
        "minute_bars <- [] ['minutes_are_fresh', 'minutes_are_sound']",
    ])  # fmt: skip


def test_all_that_blocks_blocks_and_tracking_does_not() -> None:
    graph = defs.resolve_asset_graph()
    blocking = {key.name: graph.get_check_spec(key).blocking for key in graph.asset_check_keys}
    assert blocking == {
        "bars_are_complete": True,
        "bars_are_fresh": False,
        "no_gap_is_given_up": False,
        "no_scale_has_changed": False,
        "hours_agree": False,
        "bars_are_sound": True,
        "features_are_numbers": True,
        "signals_are_whole": True,
        "run_is_tracked": False,
        "ledger_is_consistent": True,
        "parity_is_exact": False,
        "holdings_follow_decisions": False,
        "nav_is_fresh": False,
        "books_agree": False,
        "minutes_are_fresh": False,
        "minutes_are_sound": False,
    }


def test_jobs_sensors_and_schedules_have_their_names_and_nothing_that_trades_runs_by_itself() -> None:
    repository = defs.get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs()}
    assert {"market_data", "trading_strategy", "parity_of_session", "backtest", "sweep", "minute_collection"} <= jobs
    assert {sensor.name: sensor.default_status.value for sensor in repository.sensor_defs} == {
        "market_open": "STOPPED",
        "ibkr_auth": "STOPPED",
        "bar_freshness": "RUNNING",
        "minutes_while_open": "STOPPED",
        "sweep_chunks": "RUNNING",
        "tell_of_failed_runs": "RUNNING",
        "tell_of_failed_checks": "RUNNING",
        "tell_of_login_deadline": "RUNNING",
        "mlflow_close_finished": "RUNNING",
        "mlflow_close_failed": "RUNNING",
        "mlflow_close_killed": "RUNNING",
    }
    assert {schedule.name: schedule.default_status.value for schedule in repository.schedule_defs} == {
        "trading_strategy_evening": "STOPPED",
        "trading_strategy_before_open": "STOPPED",
        "parity_evening": "STOPPED",
        "sweep_in_the_morning": "STOPPED",
        "scale_at_night": "STOPPED",
        "portfolio_after_close": "STOPPED",
        "maintenance_at_night": "STOPPED",
    }


def test_orders_is_never_retried_and_limited_to_one() -> None:
    op = defs.resolve_assets_def("orders").op
    assert op.retry_policy is None
    assert op.pool == "orders"


def test_runs_of_many_strategies_fetch_the_same_bars_one_after_the_other() -> None:
    assert defs.resolve_assets_def("raw_bars").op.pool == "raw_bars"


def test_every_asset_has_the_sessions_and_backfills_in_one_run() -> None:
    for name in ("raw_bars", "validated_bars", "enriched_features", "signals", "orders"):
        asset = defs.resolve_assets_def(name)
        assert asset.backfill_policy == dg.BackfillPolicy.single_run()
        assert asset.partitions_def is not None
        assert not asset.partitions_def.has_partition_key("2012-10-29")


def test_settings_that_cannot_be_are_named_at_load() -> None:
    settings = Settings.model_validate({"market": {"first_session": "2012-11-22"}})
    with pytest.raises(ConfigurationError, match="first_session: 2012-11-22 is not a session"):
        build(lambda: settings)


def test_dagster_mlflows_own_resource_is_there_and_imported_only_by_use() -> None:
    assert "mlflow_tracking" in (defs.resources or {})
    probe = (
        "import sys, ibkr_assets.definitions\n"
        "heavy = 'pandas mlflow dagster_mlflow exchange_calendars matplotlib talib psycopg httpx'.split()\n"
        "found = set(heavy) & set(sys.modules)\n"
        "sys.exit(f'loaded: {found}' if found else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


def test_a_tick_has_all_of_psycopg_before_it_asks_for_any_part_of_it() -> None:
    probe = (
        "import sys\n"
        "from ibkr_assets.defs.resources import SettingsInForce\n"
        "from ibkr_assets.settings import Settings\n"
        "before = 'psycopg' in sys.modules\n"
        "SettingsInForce(Settings).get()\n"
        "sys.exit(0 if not before and 'psycopg.types.json' in sys.modules else 1)\n"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


def test_a_fresh_checkout_validates_with_nothing_running(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IBKR_ASSETS")}
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    result = subprocess.run(
        [str(Path(sys.executable).with_name("dagster")), "definitions", "validate", "-w", "workspace.yaml"],
        cwd=ROOT,
        env={**environment, "DAGSTER_HOME": str(tmp_path), "IBKR_ASSETS_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_workspace_names_the_code_location() -> None:
    (entry,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    assert entry["python_module"] == {
        "module_name": "ibkr_assets.definitions",
        "working_directory": ".",
        "location_name": "ibkr_assets",
    }

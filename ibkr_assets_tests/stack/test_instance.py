"""Dagster's own configuration: one source, the driver named, readable by its owner only."""

from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.run_coordinator import QueuedRunCoordinator

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.stack.instance import instance_config, with_driver, write_instance
from ibkr_assets.stack.launcher import ForkServerRunLauncher

ROOT = Path(__file__).parents[2]


def test_the_file_at_the_top_is_the_configuration_without_storage() -> None:
    config = instance_config()
    assert yaml.safe_load((ROOT / "dagster.yaml").read_text()) == config
    assert "storage" not in config


def test_the_containers_differ_only_in_where_runs_start_and_where_things_are_kept() -> None:
    containers = yaml.safe_load((ROOT / "docker" / "dagster.yaml").read_text())
    config = instance_config()
    assert set(containers) - set(config) == {"storage", "local_artifact_storage"}
    assert set(config) - set(containers) == {"run_launcher"}
    others = set(config) - {"run_launcher", "compute_logs"}
    assert {name: containers[name] for name in others} == {name: config[name] for name in others}
    of_the_stack = instance_config(postgres_url="postgresql://localhost/dagster")["storage"]["custom"]
    where = {"postgres_url": {"env": "DAGSTER_PG_URL"}}
    assert containers["storage"] == {"custom": of_the_stack | {"config": where}}


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_the_driver_that_dagster_needs_is_named(scheme: str) -> None:
    config = instance_config(postgres_url=f"{scheme}://user:secret@localhost:5432/dagster")
    where = config["storage"]["custom"]["config"]
    assert where == {"postgres_url": "postgresql+psycopg2://user:secret@localhost:5432/dagster"}


@pytest.mark.parametrize("url", ["sqlite:///x", "", "mysql://user:secret@localhost/x"])
def test_another_database_is_refused_without_showing_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected postgresql://") as refused:
        with_driver(url)
    assert "secret" not in str(refused.value)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = write_instance(tmp_path / "home", postgres_url="postgresql://user:secret@localhost/dagster")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("interval_s", "expected"), [(0.1, 0.5), (0.5, 0.5), (1.0, 1), (1.5, 2), (5, 5)])
def test_the_queue_is_looked_at_as_often_as_asked_and_as_dagster_can(
    tmp_path: Path, interval_s: float, expected: float
) -> None:
    write_instance(tmp_path, dequeue_interval_s=interval_s)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        assert instance.run_coordinator.dequeue_interval_seconds == expected


def test_dagster_takes_the_whole_of_it(tmp_path: Path) -> None:
    write_instance(tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.run_launcher, ForkServerRunLauncher)
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_retries_max_retries == 0
        pools = instance.get_concurrency_config().pool_config
        assert (pools.default_pool_limit, pools.pool_granularity.value, pools.op_granularity_run_buffer) == (1, "op", 8)

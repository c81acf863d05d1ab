"""Dagster's storage on Postgres when several are the first to use a pool, and when the default limit changes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier
from typing import Any

import dagster as dg
import pytest
import yaml

from ibkr_assets.stack.instance import FILE, write_instance

AT_ONCE = 6


@pytest.fixture
def open_instance(postgres_server: Any, tmp_path: Path) -> Iterator[Callable[..., dg.DagsterInstance]]:
    """Instances on a database that no Dagster has seen, each with connections of its own, as processes have them."""
    name = f"dagster_{uuid.uuid4().hex[:12]}"
    with postgres_server.connect() as connection:
        connection.execute(f"create database {name} owner ibkr_dagster")
    with ExitStack() as opened:

        def new(default_limit: int = 1) -> dg.DagsterInstance:
            path = write_instance(tmp_path, postgres_url=postgres_server.url(name, "ibkr_dagster"))
            config = yaml.safe_load((tmp_path / FILE).read_text())
            config["concurrency"]["pools"]["default_limit"] = default_limit
            path.write_text(yaml.safe_dump(config))
            return opened.enter_context(dg.DagsterInstance.from_config(str(tmp_path)))

        yield new
    with postgres_server.connect() as connection:
        connection.execute(f"drop database {name} with (force)")


@dg.op(pool="bars")
def fetch() -> None:
    """A step that one run at a time may execute."""


@dg.job(executor_def=dg.in_process_executor)
def fetching() -> None:
    fetch()


def test_of_runs_that_are_the_first_to_use_a_pool_none_fails(open_instance: Callable[..., dg.DagsterInstance]) -> None:
    instances, together = [open_instance() for _ in range(AT_ONCE)], Barrier(AT_ONCE)

    def make(instance: dg.DagsterInstance) -> bool:
        storage = instance.event_log_storage
        assert storage.get_pool_limits() == []  # as a run asks before it makes the pool
        together.wait(30)
        return storage.initialize_concurrency_limit_to_default("bars")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert all(pool.map(make, instances))
    (limit,) = instances[0].event_log_storage.get_pool_limits()
    assert (limit.name, limit.limit, limit.from_default) == ("bars", 1, True)
    assert instances[0].event_log_storage.get_concurrency_info("bars").slot_count == 1
    assert fetching.execute_in_process(instance=instances[0]).success


def test_a_run_that_waits_for_a_pool_leaves_the_processor_to_others(
    open_instance: Callable[..., dg.DagsterInstance],
) -> None:
    holder, waiting = open_instance(), open_instance()
    holder.event_log_storage.initialize_concurrency_limit_to_default("bars")
    assert holder.event_log_storage.claim_concurrency_slot("bars", "another run", "fetch").is_claimed

    def run() -> tuple[bool, float]:
        before = time.thread_time()
        succeeded = fetching.execute_in_process(instance=waiting).success
        return succeeded, time.thread_time() - before

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(run)
        time.sleep(5.0)
        assert not done.done()
        holder.event_log_storage.free_concurrency_slot_for_step("another run", "fetch")
        has_succeeded, processor_s = done.result(30)
    assert has_succeeded
    assert processor_s < 2.5, "of five seconds of waiting; the start of the run is in it"


def test_a_default_limit_that_changed_is_in_force_at_the_next_run(
    open_instance: Callable[..., dg.DagsterInstance],
) -> None:
    storage = open_instance(1).event_log_storage
    storage.initialize_concurrency_limit_to_default("bars")
    storage.set_concurrency_slots("orders", 4)
    later = open_instance(3).event_log_storage
    for pool in ("bars", "orders"):
        later.initialize_concurrency_limit_to_default(pool)
    limits = {limit.name: (limit.limit, limit.from_default) for limit in later.get_pool_limits()}
    assert limits == {"bars": (3, True), "orders": (4, False)}, "what a person gave a pool stays"
    assert [later.get_concurrency_info(pool).slot_count for pool in ("bars", "orders")] == [3, 4]

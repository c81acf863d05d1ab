"""Dagster's own ways of doing a thing twice: what stands after a failed try is found by the next one."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from ibkr_assets.adapters.clock import MarketClock
from ibkr_assets.adapters.ibkr.client import broker
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.order import OrderState
from ibkr_assets_tests.defs.chain import FIVE, STRATEGY, Chain, metadata_of
from ibkr_assets_tests.execution.desk import Desk
from ibkr_assets_tests.gateway import start_gateway

DAY = date(2012, 10, 1)
STRATEGIES = tuple(replace(STRATEGY, id=f"cross{n}", sizing=f"percent:1.{n}") for n in range(3, 7))
#: The third intent of the first try is refused, once: what stood before it is stored, and the step fails.
FAILS_ONCE = """
create sequence public.tries;
grant usage on sequence public.tries to public;
create function public.fail_once() returns trigger language plpgsql as $$
begin
  if nextval('public.tries') = 3 then
    raise exception 'the third intent fails';
  end if;
  return new;
end $$;
create trigger fail_once before insert on oms.order_intent for each row execute function public.fail_once();
"""


@pytest.fixture
def chain(database, database_url) -> Iterator[Chain]:
    """Everything up to the signals of one session."""
    with dg.DagsterInstance.ephemeral() as instance:
        made = Chain(database, database_url, instance, strategies=STRATEGIES)
        made.move_after_close(DAY)
        made.run(DAY, select=FIVE[:4])
        yield made


def retried(chain: Chain) -> dg.ExecuteInProcessResult:
    """The asset `orders` in a job whose steps are tried again."""
    job = dg.define_asset_job("again", selection=["orders"], op_retry_policy=dg.RetryPolicy(max_retries=2))
    definitions = dg.Definitions(assets=list(chain.definitions.assets or ()), jobs=[job], resources=chain.resources)
    return definitions.resolve_job_def("again").execute_in_process(
        instance=chain.instance, partition_key=str(DAY), run_config={"ops": {"orders": {"config": {"dry_run": False}}}}
    )


def test_a_step_that_is_retried_re_executed_and_run_twice_at_once_is_one_order_a_decision(
    chain: Chain, tmp_path: Path
) -> None:
    with chain.database.connect() as connection:
        connection.execute(FAILS_ONCE)
    first = retried(chain)
    assert first.success
    assert Counter(event.event_type_value for event in first.all_events)["STEP_UP_FOR_RETRY"] == 1
    assert metadata_of(first, "orders")["existing"] == 2, "the retry finds what the failed try had stored"
    before = chain.book.intents()
    chain.run(DAY, select=("orders",), tags={"dagster/parent_run_id": first.run_id, "dagster/root_run_id": "r"})
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: chain.run_elsewhere(DAY, ("orders",)), range(2)))
    assert chain.book.intents() == before
    assert len({record.intent.decision_key for record in before}) == len(before) > 2
    approved = {record.client_order_id: 1 for record in before if record.state is OrderState.APPROVED}
    assert len(approved) > 5
    assert accepted_at_a_venue(chain, tmp_path) == approved


def accepted_at_a_venue(chain: Chain, directory: Path) -> dict[str, int]:
    """How often a real gateway takes each order when the submitter, too, is started twice."""
    extra = ("--opening-cash", "100000")
    with start_gateway(clock_start=chain.clock.now(), extra=extra) as gateway:
        side = broker(
            gateway.api_url, ca=None, account=gateway.account, connect_timeout_s=2.0, read_timeout_s=10.0,
            order_timeout_s=10.0, pace=1000.0,
        )  # fmt: skip
        desk = Desk(chain.database, directory, account=gateway.account)
        desk.broker, desk.market = side, MarketClock(gateway.clock_url)
        for _ in range(2):
            desk.start()
            desk.turn(2)
            desk.stop()
        side.close()
        return dict(Counter(row["coid"] for row in gateway.ledger("accept")))


#: The third intent of the first try is stored slowly: long enough to kill the step over it.
SLOW_ONCE = FAILS_ONCE.replace("raise exception 'the third intent fails'", "perform pg_sleep(3)")


def decide_elsewhere(database_url: str) -> None:
    """The step of the asset `orders`, for a process of its own."""
    with dg.DagsterInstance.ephemeral() as instance:
        chain = Chain(Database(database_url), database_url, instance, strategies=STRATEGIES, is_reconciled=False)
        chain.move_after_close(DAY)
        chain.run(DAY, select=("orders",))


@pytest.mark.slow
def test_a_step_that_is_killed_outright_and_run_again_decides_each_thing_once(chain: Chain) -> None:
    is_asleep = "select 1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
    with chain.database.connect() as connection:
        connection.execute(SLOW_ONCE)
    child = multiprocessing.get_context("spawn").Process(target=decide_elsewhere, args=(chain.database_url,))
    child.start()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.is_alive():
        with chain.database.connect() as connection:
            if connection.execute(is_asleep).fetchall():
                child.kill()
        time.sleep(0.05)
    child.join(10)
    assert child.exitcode == -signal.SIGKILL
    stored = chain.book.intents()
    again = chain.run(DAY, select=("orders",))
    after = chain.book.intents()
    assert len(stored) < len(after) == len({record.intent.decision_key for record in after})
    assert metadata_of(again, "orders")["existing"] >= len(stored) >= 2

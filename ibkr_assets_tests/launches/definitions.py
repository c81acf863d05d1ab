"""The product's definitions, and what makes Dagster do things twice: a job that tries again, a sensor that asks often.

Loaded by Dagster's processes (`-m ibkr_assets_tests.launches.definitions`), which find what to ask for in their
environment.
"""

import os

import dagster as dg

from ibkr_assets.definitions import build

#: The session, and the strategies whose runs the daemons are asked for: `daemons` often, `killed` with run retries.
DAY = "LAUNCHES_DAY"
REQUESTS = 6

orders_once = dg.define_asset_job("orders_once", selection=["orders"], executor_def=dg.in_process_executor)
orders_again = dg.define_asset_job(
    "orders_again",
    selection=["orders"],
    executor_def=dg.in_process_executor,
    op_retry_policy=dg.RetryPolicy(max_retries=2),
)


def config_of(strategy_id: str) -> dict[str, object]:
    """Run configuration: the orders of one strategy, in the platform's mode."""
    return {"ops": {"orders": {"config": {"dry_run": False, "strategy_id": strategy_id}}}}


@dg.sensor(job=orders_once, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def asks_often() -> list[dg.RunRequest]:
    """The same runs at every tick; two daemons tick it at the same time."""
    day = os.environ.get(DAY)
    if day is None:
        return []
    killed = dg.RunRequest(
        run_key="killed", partition_key=day, run_config=config_of("killed"), tags={"dagster/max_retries": "2"}
    )
    often = (
        dg.RunRequest(run_key=f"daemons {number}", partition_key=day, run_config=config_of("daemons"))
        for number in range(REQUESTS)
    )
    return [killed, *often]


defs = dg.Definitions.merge(build(), dg.Definitions(jobs=[orders_once, orders_again], sensors=[asks_often]))

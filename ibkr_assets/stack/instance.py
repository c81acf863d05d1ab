"""Dagster's own configuration: how runs queue, start, are watched and limited.

What goes here: `dagster.yaml` as a value, with the reason for each choice. The file at the top of the checkout is
this without storage, which means SQLite under DAGSTER_HOME; the embedded stack writes its own with Postgres.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

from ibkr_assets.domain.errors import ConfigurationError

#: dagster-postgres speaks psycopg 2 only, and SQLAlchemy 2.1 takes the bare `postgresql://` for psycopg 3.
DRIVER = "postgresql+psycopg2://"

FILE = "dagster.yaml"

#: Where processes of Dagster's find the broker that carries runs to workers.
BROKER_VARIABLE = "IBKR_ASSETS__CLUSTER__BROKER_URL"

#: The shortest time between two looks at the queue; `stack.queue` says why.
SHORTEST_INTERVAL_S = 0.5
#: How many strategies may decide at the same time.
RUNS_AT_ONCE = 8


def instance_config(
    *, postgres_url: str | None = None, dequeue_interval_s: float = 0.5, has_workers: bool = False
) -> dict[str, Any]:
    """The content of `dagster.yaml`. `postgres_url` is any `postgresql...://` URL; without one, SQLite is used.

    `dequeue_interval_s` is rounded up to half a second, or to whole seconds above that: all that Dagster can do. With
    `has_workers` runs are handed to workers on other machines, through the broker that BROKER_VARIABLE names.

    Raises ConfigurationError when the URL is not Postgres'.
    """
    storage: dict[str, Any] = {}
    if postgres_url is not None:
        # Dagster's own fails one of two runs that are the first to use a pool.
        where = {"postgres_url": with_driver(postgres_url)}
        storage = {
            "storage": {"custom": {"module": "ibkr_assets.stack.storage", "class": "PooledStorage", "config": where}}
        }
    return {
        "telemetry": {"enabled": False},
        # The welcome dialog asks for a mail address and covers the page.
        "nux": {"enabled": False},
        **storage,
        # Dagster's own starts four processes a run to repeat what it prints.
        "compute_logs": {"module": "ibkr_assets.stack.run_output", "class": "RunOutput"},
        "run_launcher": _run_launcher(has_workers=has_workers),
        # The queue is what keeps the limits below; looked at every five seconds, it is most of what a run waits.
        "run_coordinator": _run_coordinator(dequeue_interval_s),
        "concurrency": {
            # Several strategies at once, and of each one run at a time.
            "runs": {
                "max_concurrent_runs": RUNS_AT_ONCE,
                "tag_concurrency_limits": [
                    {"key": "ibkr_assets/strategy", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
                ],
            },
            # Operations, not runs: with runs, a pool that was never seen before limits nothing. Runs start although the
            # pool of their first step is taken: a run counts as taking it for five seconds, longer than most last.
            "pools": {"default_limit": 1, "granularity": "op", "op_granularity_run_buffer": RUNS_AT_ONCE},
        },
        # A run whose process died is failed, and gives its place in the pool back. It is never tried again by
        # itself: whether an order of it is out is the submitter's question, not Dagster's.
        "run_monitoring": {
            "enabled": True,
            "start_timeout_seconds": 300,
            "cancel_timeout_seconds": 60,
            "max_runtime_seconds": 3600,
            "poll_interval_seconds": 5,
            "free_slots_after_run_end_seconds": 5,
        },
        "run_retries": {"enabled": True, "max_retries": 0, "retry_on_asset_or_op_failure": False},
        "sensors": {"use_threads": True, "num_workers": 4},
        "schedules": {"use_threads": True, "num_workers": 4},
        "retention": {
            "schedule": {"purge_after_days": 30},
            "sensor": {"purge_after_days": {"skipped": 2, "failure": 30, "success": 30}},
        },
        "code_servers": {"local_startup_timeout": 180},
    }


def _run_launcher(*, has_workers: bool) -> dict[str, Any]:
    if not has_workers:
        # A forked child of a warm process instead of a new interpreter: the first step starts after 0.3 s, not 2 to 3.
        return {"module": "ibkr_assets.stack.launcher", "class": "ForkServerRunLauncher"}
    # By the variable's name: the URL holds a password, and Dagster shows its configuration on a page.
    broker = {"env": BROKER_VARIABLE}
    return {
        "module": "ibkr_assets.stack.cluster",
        "class": "ClusterRunLauncher",
        "config": {"broker": broker, "backend": broker},
    }


def _run_coordinator(interval_s: float) -> dict[str, Any]:
    if interval_s <= SHORTEST_INTERVAL_S:
        return {"module": "ibkr_assets.stack.queue", "class": "PromptRunCoordinator"}
    return {
        "module": "dagster._core.run_coordinator",
        "class": "QueuedRunCoordinator",
        "config": {"dequeue_interval_seconds": math.ceil(interval_s)},
    }


def with_driver(url: str) -> str:
    """The URL with its driver named. Raises ConfigurationError when it is not Postgres', without showing it."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.split("+")[0] not in ("postgresql", "postgres"):
        raise ConfigurationError(f"database url of Dagster: expected postgresql://..., got {scheme or 'nothing'}://...")
    return DRIVER + rest


def write_instance(
    home: Path, *, postgres_url: str | None = None, dequeue_interval_s: float = 0.5, has_workers: bool = False
) -> Path:
    """Write `dagster.yaml` into a DAGSTER_HOME, readable by its owner only, because it may hold a password."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / FILE
    config = instance_config(
        postgres_url=postgres_url, dequeue_interval_s=dequeue_interval_s, has_workers=has_workers
    )  # fmt: skip
    path.touch(mode=0o600, exist_ok=True)
    path.chmod(0o600)
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path

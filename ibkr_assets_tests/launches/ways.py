"""The ways in which Dagster does one thing twice, each with a strategy of its own, and what came of them.

What goes here: the ways, in the order in which they are done, and the counting. What does not: the peers (`stage`).
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg

from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets_tests.launches.definitions import REQUESTS
from ibkr_assets_tests.launches.stage import MODULE, Stage

#: The second intent of one strategy is refused, once; that of another is stored slowly: long enough to die over it.
GOES_WRONG = """
create sequence public.refusals;
create sequence public.delays;
create function public.go_wrong() returns trigger language plpgsql as $$
begin
  if new.strategy_id = 'retried' and nextval('public.refusals') = 2 then
    raise exception 'the second intent is refused';
  end if;
  if new.strategy_id = 'killed' and nextval('public.delays') = 2 then
    perform pg_sleep(5);
  end if;
  return new;
end $$;
create trigger go_wrong before insert on oms.order_intent for each row execute function public.go_wrong();
"""
_ASLEEP = "select 1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"


@dataclass(frozen=True)
class Row:
    """One way, counted: steps that began, decisions, those approved, what the gateway took, and what it took twice.

    `found` are decisions that a step met as another had stored them.
    """

    name: str
    steps: int
    found: int
    decisions: int
    approved: int
    accepted: int
    twice: int

    @property
    def is_good(self) -> bool:
        """Each approved decision is one order at the gateway, and the thing was truly done more than once."""
        return self.twice == 0 and self.accepted == self.approved > 0 and self.steps >= LEAST_STEPS.get(self.name, 2)


WAYS = {
    "once": "asked once, to compare",
    "retried": "step fails half way, tried again",
    "again": "run re-executed",
    "concurrent": "two runs of a partition at once",
    "launched": "two processes of one run at once",
    "daemons": f"two daemons, one sensor, {REQUESTS} requests",
    "killed": "process killed half way, run retried",
}
#: Steps that must have begun, where it is not two: Dagster may keep the second process of one run from its step.
LEAST_STEPS = {"once": 1, "launched": 1, "daemons": REQUESTS}


def go_through(stage: Stage, say: Callable[[str], None], *, ways: tuple[str, ...] = tuple(WAYS)) -> list[Row]:
    """Do it all while a submitter sends; returns one row a way. Raises TimeoutError."""
    with stage.database.connect() as connection:
        connection.execute(GOES_WRONG)
    stage.start("submitter", "-m", "ibkr_assets.cli", "submitter", "run")
    stage.wait("the books are opened", lambda: stage.rows("select from oms.recon_run where is_clean"))
    by_hand = {
        "once": lambda: stage.work(stage.create_run("once")),
        "retried": lambda: stage.work(stage.create_run("retried", job="orders_again")),
        "again": lambda: _again(stage),
        "concurrent": lambda: stage.work(stage.create_run("concurrent"), stage.create_run("concurrent")),
        "launched": lambda: _launched_twice(stage),
    }
    for name in ways:
        if name in by_hand:
            by_hand[name]()
            say(f"done: {WAYS[name]}")
    if {"daemons", "killed"} & set(ways):
        _with_daemons(stage)
        say(f"done: {WAYS['daemons']}; {WAYS['killed']}")
    stage.wait("every approved order is out", lambda: not stage.rows(
        "select from oms.order_intent i join oms.state s on s.name = i.state where s.holds_risk "
        "and i.state not in ('ACKED', 'WORKING')"
    ))  # fmt: skip
    broken = [found for found in check_invariants(stage.database) if found["violations"]]
    assert not broken, broken
    return [_count(stage, name) for name in ways]


def _again(stage: Stage) -> None:
    first = stage.create_run("again")
    stage.work(first)
    stage.work(stage.create_run("again", **{"dagster/parent_run_id": first, "dagster/root_run_id": first}))


def _launched_twice(stage: Stage) -> None:
    """As two daemons do that both took the run from the queue."""
    run_id = stage.create_run("launched")
    stage.work(run_id, run_id)


def _with_daemons(stage: Stage) -> None:
    """Two daemons tick one sensor and empty one queue; the process of one run dies in the middle of its step."""
    for number in (1, 2):
        stage.start(f"daemon{number}", "-m", "dagster._daemon", "run", "-m", MODULE)
    stage.wait("the step is in the middle of its work", lambda: stage.rows(_ASLEEP))
    workers = {pid for run in _runs(stage, "killed") for pid in stage.workers_of(run.run_id)}
    assert workers, "no process says that it executes the step"
    for pid in workers:  # two daemons may have launched two; the one that Dagster turned away has ended by itself
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    success = dg.DagsterRunStatus.SUCCESS
    stage.wait(
        "the killed run was retried by Dagster",
        lambda: any(run.status is success and run.parent_run_id for run in _runs(stage, "killed")),
    )
    stage.wait(
        "all requested runs have ended",
        lambda: len(runs := _runs(stage, "daemons")) >= REQUESTS and all(run.is_finished for run in runs),
    )


def _runs(stage: Stage, strategy_id: str) -> list[dg.DagsterRun]:
    found = []
    for run in stage.instance.get_runs():
        config = run.run_config.get("ops", {}).get("orders", {}).get("config", {})
        if config.get("strategy_id") == strategy_id:
            found.append(run)
    return found


def _count(stage: Stage, name: str) -> Row:
    steps, existing = 0, 0
    for run in _runs(stage, name):
        for entry in stage.instance.all_logs(run.run_id):
            event = entry.dagster_event
            if event is None:
                continue
            steps += event.event_type in (dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_RESTARTED)
            if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
                existing += int(str(event.materialization.metadata["existing"].value))
    decisions = stage.rows(
        "select decision_key, client_order_id, state from oms.order_intent where strategy_id = %s", name
    )
    assert len({key for key, _, _ in decisions}) == len(decisions)
    ours = {coid for _, coid, state in decisions if state not in ("DENIED", "EXPIRED_UNSENT")}
    times = Counter(row["coid"] for row in stage.gateway.ledger("accept") if row["coid"] in ours)
    return Row(
        name=name,
        steps=steps,
        found=existing,
        decisions=len(decisions),
        approved=len(ours),
        accepted=times.total(),
        twice=sum(count > 1 for count in times.values()),
    )

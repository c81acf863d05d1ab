"""Exactly the partitions that must be computed again: as commands to read, or as runs that Dagster does.

What goes here: runs of sessions without a gap, the command line of each, and launching them in the order of the assets.
What does not: finding out which partitions those are (`cli.impact`, `cli.corporate_actions`).
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from ibkr_assets.cli.webserver import open_webserver
from ibkr_assets.domain.errors import StackFailure

if TYPE_CHECKING:
    from ibkr_assets.adapters.dagster_api import DagsterApi
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.settings import Settings

#: What can be computed again, in the order of the chain, and a job that has it. Raw bars are as they are.
JOBS = {"validated_bars": "market_data", "enriched_features": "market_data", "signals": "trading_strategy"}
_LOOK_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Step:
    """One asset over sessions in a row, for these symbols."""

    asset: str
    first: date
    last: date
    symbols: tuple[str, ...]

    @property
    def config(self) -> dict[str, Any]:
        """The run's configuration."""
        return {"ops": {self.asset: {"config": {"symbols": list(self.symbols)}}}}

    @property
    def command(self) -> str:
        """The same as a command line."""
        is_one = self.first == self.last
        where = f"--partition {self.first}" if is_one else f"--partition-range {self.first}...{self.last}"
        return (
            f"dagster asset materialize -m ibkr_assets.definitions --select {self.asset} {where} "
            f"--config-json {shlex.quote(json.dumps(self.config))}"
        )


def plan_steps(
    partitions: Mapping[str, Sequence[date]], symbols: Sequence[str], calendar: ExchangeCalendar
) -> list[Step]:
    """One step for each run of sessions in a row, asset by asset."""
    return [
        Step(asset, first, last, tuple(symbols))
        for asset in JOBS
        for first, last in _runs(partitions.get(asset, ()), calendar)
    ]


def _runs(days: Sequence[date], calendar: ExchangeCalendar) -> list[tuple[date, date]]:
    """First and last day of each run of sessions without a gap."""
    found: list[tuple[date, date]] = []
    for day in days:
        if found and calendar.next_session(found[-1][1]).day == day:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def launch(settings: Settings, steps: Sequence[Step], tell: Callable[[str], None]) -> list[str]:
    """Have Dagster do the steps one after the other, a run each; returns their ids.

    Raises ConfigurationError where no webserver is named, Unavailable where it does not answer, and StackFailure naming
    the first step that did not end well: those after it rest on it and are not launched.
    """
    with open_webserver(settings) as api:
        return [_do(api, step, tell) for step in steps]


def _do(api: DagsterApi, step: Step, tell: Callable[[str], None]) -> str:
    partition = step.first if step.first == step.last else (step.first, step.last)
    name = f"{step.asset} of {', '.join(step.symbols)}, {step.first} to {step.last}"
    run_id = api.launch(JOBS[step.asset], partition=partition, config=step.config, tags={}, assets=(step.asset,))
    while not (run := api.status(run_id)).is_over:
        time.sleep(_LOOK_EVERY_S)
    if not run.is_success:
        raise StackFailure(f"{name}: run {run_id} ended as {run.status}: {api.why_failed(run_id)}")
    tell(f"{name}: run {run_id}")
    return run_id

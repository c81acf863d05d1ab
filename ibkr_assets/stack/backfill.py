"""One backfill as several runs, a part of the symbols each: what spreads over workers, and over this machine's cores.

What goes here: launching the parts, following them, and launching again what was cut off. What does not: what a part
does, which is the job's (`defs.jobs`): the same rows whichever run writes them, and none twice. By symbol and not by
date, because indicators of a day rest on the days before it and on no other symbol.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from ibkr_assets.domain.errors import InputError, StackFailure

if TYPE_CHECKING:
    from ibkr_assets.adapters.dagster_api import DagsterApi

JOB = "market_data"
ASSETS = ("raw_bars", "validated_bars", "enriched_features")
#: Dagster's own tag of a run that belongs to a backfill.
_BACKFILL_TAG = "dagster/backfill"
#: Ours: which part of the symbols a run does.
_PART_TAG = "ibkr_assets/part"
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Backfilled:
    """What a backfill came to. `attempts` counts runs, `seconds` is from the first launch to the last end."""

    parts: int
    attempts: int
    seconds: float


def split(symbols: Sequence[str], parts: int) -> list[list[str]]:
    """Symbols in `parts` slices of nearly equal length, none empty. Raises InputError for less than one part."""
    if parts < 1:
        raise InputError(f"runs: at least 1, got {parts}")
    unique = sorted(set(symbols))
    if not unique:
        raise InputError("symbols: none to backfill")
    count = min(parts, len(unique))
    return [unique[number::count] for number in range(count)]


def backfill(
    api: DagsterApi,
    *,
    name: str,
    symbols: Sequence[str],
    first: date,
    last: date,
    parts: int,
    retries: int,
    tell: Callable[[str], None],
) -> Backfilled:
    """Launch the parts and wait for all of them; a part that ended badly is launched again `retries` times.

    `name` joins the runs in Dagster. Raises StackFailure naming the part and its error when one does not end well.
    """
    if last < first:
        raise InputError(f"to: {last} is before from, {first}")
    slices = split(symbols, parts)
    began = time.monotonic()
    launched = {number: [_launch(api, name, number, part, first, last)] for number, part in enumerate(slices, 1)}
    waiting = set(launched)
    while waiting:
        for number in sorted(waiting):
            run = api.status(launched[number][-1])
            if not run.is_over:
                continue
            if run.is_success:
                waiting.discard(number)
                took = time.monotonic() - began
                tell(f"part {number} of {len(slices)}: {len(slices[number - 1])} symbols after {took:.1f} s")
                continue
            why = api.why_failed(run.run_id)
            if len(launched[number]) > retries:
                raise StackFailure(f"part {number} of {len(slices)} ended as {run.status}: {why}")
            tell(f"part {number} of {len(slices)} ended as {run.status} and begins again: {why}")
            launched[number].append(_launch(api, name, number, slices[number - 1], first, last))
        if waiting:
            time.sleep(_LOOK_EVERY_S)
    return Backfilled(len(slices), sum(len(runs) for runs in launched.values()), time.monotonic() - began)


def _launch(api: DagsterApi, name: str, number: int, symbols: Sequence[str], first: date, last: date) -> str:
    config: dict[str, Any] = {"ops": {asset: {"config": {"symbols": list(symbols)}} for asset in ASSETS}}
    return api.launch(JOB, partition=(first, last), config=config, tags={_BACKFILL_TAG: name, _PART_TAG: str(number)})

"""Which chunk of a sweep needs a run, its first or another one because the last was lost with its worker.

What goes here: what Dagster knows of a chunk's runs, and what follows. What does not: asking for the run
(`defs.sweeps`). Nothing here defines anything of Dagster's.
"""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.past_runs import Chunk

SWEEP_TAG, CHUNK_TAG = "ibkr_assets/sweep", "ibkr_assets/chunk"
#: Runs that a chunk is given, the first included: what loses three workers is no accident.
MOST_ATTEMPTS = 3


def runs_of(instance: dg.DagsterInstance, sweep_id: str) -> list[dg.DagsterRun]:
    """The runs of a sweep's chunks, the one that was launched first included."""
    found = list(instance.get_runs(dg.RunsFilter(tags={SWEEP_TAG: sweep_id})))
    launched = instance.get_run_by_id(sweep_id)
    return found if launched is None else [*found, launched]


def next_attempt(instance: dg.DagsterInstance, chunk: "Chunk", runs: list[dg.DagsterRun]) -> int | None:
    """The number of the run that the chunk is due for, from 1; None where one is at it, or a person is asked for.

    `runs` are those of its sweep. A run that Dagster has forgotten counts as lost.
    """
    own = {run.run_id: run for run in runs if _is_of(run, chunk)}
    if chunk.taken_by is not None and chunk.taken_by not in own:  # executed again by a person
        taker = instance.get_run_by_id(chunk.taken_by)
        own |= {} if taker is None else {taker.run_id: taker}
    attempts = max(len(own), 1 if chunk.taken_by is not None else 0)
    if attempts >= MOST_ATTEMPTS or not all(_is_lost(instance, run) for run in own.values()):
        return None
    return attempts + 1


def _is_of(run: dg.DagsterRun, chunk: "Chunk") -> bool:
    if run.run_id == chunk.sweep_id:
        return chunk.chunk == 1
    return run.tags.get(CHUNK_TAG) == f"{chunk.chunk} of {chunk.chunks}"


def _is_lost(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """It failed, and not by anything that its step did: a step that fails says so, a worker that dies cannot."""
    if run.status is not dg.DagsterRunStatus.FAILURE:
        return False
    said = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=1)
    return not said.records

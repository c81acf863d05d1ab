"""The asset `sweeps`: one strategy over many parameter sets, in as many runs as it is asked to be spread over.

The run that is launched works on the first chunk; the sensor asks for a run for each of the others, which any worker
may take. The run that finds all chunks kept joins them: the same rows in the same order as in one run, so the same
ranking. Where a run was lost with its worker, another one is asked for; what failed by itself is a person's.

What goes here: chunks, and what is shown. What does not: the work (`backtest.sweep`), which chunk needs another run
(`defs.lost_chunks`), and single runs (`defs.backtests`).
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from ibkr_assets import bootstrap
from ibkr_assets.defs import metadata as show
from ibkr_assets.defs.lost_chunks import CHUNK_TAG, SWEEP_TAG, next_attempt, runs_of
from ibkr_assets.defs.past_config import Asked, PastConfig, past_runs, read_files
from ibkr_assets.defs.resources import SettingsInForce
from ibkr_assets.defs.tracking import Mlflow, rests_on
from ibkr_assets.domain.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from ibkr_assets.backtest.grid import Params
    from ibkr_assets.backtest.sweep import Sweep
    from ibkr_assets.backtest.walk_forward import WalkForward

_PART = ("from", "to", "chosen_by")
_SHOWN = ("sharpe", "cagr", "max_drawdown", "trades", "final_equity")


class SweepConfig(PastConfig):
    """Many runs over the past. `sweep_id` and `chunk` are set by the sensor."""

    grid: list[str] = Field(description="values of a parameter each: k=a:b:step or k=v,v,...")
    rank_by: str = Field(default="sharpe", description="the figure to rank by")
    sample: int = Field(default=0, ge=0, description="try so many of the grid, drawn by seed; 0 tries all")
    seed: int = Field(default=0, description="of the draw")
    walk_forward: int = Field(
        default=0, ge=0, description="also choose the set on the past of each of so many parts and trade it there"
    )
    chunks: int = Field(default=1, ge=1, le=256, description="spread over so many runs")
    sweep_id: str = Field(default="", description="of a chunk's run: the run that was launched")
    chunk: int = Field(default=1, ge=1, description="of a chunk's run: which, from 1")


@dg.asset(
    group_name="research",
    kinds={"postgres", "mlflow"},
    description="A strategy with many parameter sets: ranking, heat map, tear sheet of the best, and the doubt in it.",
)
def sweeps(
    context: dg.AssetExecutionContext,
    config: SweepConfig,
    mlflow: Mlflow,
    settings: dg.ResourceParam[SettingsInForce],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Work on one chunk, keep it, and join all where all are kept."""
    in_force = settings.get()
    sweep_id, kept = config.sweep_id or _launched(context.run), past_runs(in_force)
    try:
        asked = Asked(config, in_force)
        _check(config)
        kept.ask(sweep_id, config.chunks, config.model_dump(exclude={"sweep_id", "chunk"}))
        kept.take(sweep_id, config.chunk, context.run.run_id)
        kept.keep(sweep_id, config.chunk, _try(config, asked, context))
        chunks = kept.kept(sweep_id)
        if chunks is None:
            done, total = kept.chunks(sweep_id)
            return dg.MaterializeResult(
                metadata={"sweep": sweep_id, "chunk": f"{config.chunk} of {total}", "chunks_done": done}
            )
        return _join(context, config, asked, chunks, mlflow, sweep_id)
    except (InputError, ConfigurationError) as error:
        raise show.expected_failure(error) from error


def _launched(run: dg.DagsterRun) -> str:
    """The run that was launched first: one that is executed again goes on with its sweep."""
    return run.root_run_id or run.run_id


def _check(config: SweepConfig) -> None:
    from ibkr_assets.backtest.metrics import CONVENTIONS

    if config.rank_by not in CONVENTIONS:
        raise InputError(f"rank_by {config.rank_by!r}: no such figure; there are {', '.join(CONVENTIONS)}")
    if config.chunk > config.chunks:
        raise InputError(f"chunk {config.chunk}: there are {config.chunks} chunks")


def _sets(config: SweepConfig, asked: Asked) -> "list[Params]":
    """All parameter sets that are tried, in their order."""
    from ibkr_assets.backtest.grid import combinations, parse_grid

    return combinations(parse_grid(config.grid), asked.params, sample=config.sample, seed=config.seed)


def _try(config: SweepConfig, asked: Asked, context: dg.AssetExecutionContext) -> list[Any]:
    """Refusals, and the rows of the chunk without their trades."""
    from ibkr_assets.backtest.sweep import part_of, try_sets
    from ibkr_assets.backtest.tape import tapes_of

    own, told = part_of(_sets(config, asked), config.chunk, config.chunks), 0

    def progress(done: int, total: int) -> None:
        nonlocal told
        if done * 4 // total > told:
            told = done * 4 // total
            context.log.info("%d of %d sets", done, total)

    rows, refusals = try_sets(
        asked.kind, own, tapes_of(asked.bars()), asked.terms(), directory=asked.directory,
        models=bootstrap.models(asked.settings), progress=progress,
    )  # fmt: skip
    return [refusals, [[row.params, row.metrics, row.shape] for row in rows]]


def _join(
    context: dg.AssetExecutionContext, config: SweepConfig, asked: Asked, chunks: list[list[Any]], mlflow: Mlflow,
    sweep_id: str,
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # fmt: skip
    """Rank all rows, trade the best set again for its tear sheet, keep and show."""
    from ibkr_assets.adapters.mlflow import Part
    from ibkr_assets.backtest.about import describe_run, describe_terms, title_of
    from ibkr_assets.backtest.grid import parse_grid
    from ibkr_assets.backtest.study import backtest
    from ibkr_assets.backtest.sweep_files import list_parts, write_sweep_files
    from ibkr_assets.backtest.tape import tapes_of
    from ibkr_assets.backtest.walk_forward import walk_forward

    done, frame, terms = _ranked(chunks, config.rank_by), asked.bars(), asked.terms()
    best = done.rows[0]
    about = describe_run(asked.kind, asked.params, frame) | {
        "grid": " ".join(config.grid), "tried": len(done.rows), "refused": done.refused, "ranked_by": config.rank_by,
        "chunks": config.chunks,
    } | describe_terms(terms, asked.size)  # fmt: skip
    title = f"sweep {asked.kind}"
    mlflow.begin(context.run, {"run_kind": "sweep", "sweep_id": sweep_id}, title)
    tapes = tapes_of(frame)
    result = backtest(asked.build(best.params), tapes, terms)
    walked = None
    if config.walk_forward:
        walked = walk_forward(
            asked.kind, _sets(config, asked), tapes, terms, config.walk_forward, rank_by=config.rank_by,
            directory=asked.directory, models=bootstrap.models(asked.settings),
            progress=lambda part, parts: context.log.info("walked %d of %d parts", part, parts),
        )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="ibkr_assets_") as directory:
        written = write_sweep_files(Path(directory), done, parse_grid(config.grid), result, about, walked)
        files = read_files(written.paths)
    metrics = best.metrics | {"deflated_sharpe": written.chance}
    known = {name: value for name, value in metrics.items() if value is not None}
    words = {name: str(value) for name, value in about.items() if value != ""} | {"best": str(best.params)}
    version = bootstrap.version(asked.settings)
    mlflow.log(context.run, metrics=known, params=words | rests_on(version, ()), files=files)
    mlflow.log_parts(context.run, [Part(*part) for part in list_parts(done, walked)])
    tracked = mlflow.tracked(context.run)
    past_runs(asked.settings).save(
        sweep_id, "sweep", title=f"{title}: {title_of(asked.kind, best.params)}", params=best.params, about=about,
        metrics=metrics, mlflow_page=tracked.page, files=files,
    )  # fmt: skip
    rows = [{"rank": rank, **row.params, **row.metrics} for rank, row in enumerate(done.rows[:20], start=1)]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(done.rows),
            "sweep": sweep_id,
            "best": title_of(asked.kind, best.params),
            "doubt": written.doubt,
            **({} if walked is None else {"walked": show.table(_parts(walked), (*_PART, *best.params, *_SHOWN))}),
            "deflated_sharpe": show.number(written.chance),
            "ranking": show.table(rows, ("rank", *best.params, *_SHOWN)),
            "heat_map": show.picture(files["heat_map.png"]),
            "tear_sheet": show.picture(files["tear_sheet.png"]),
            "mlflow": show.link(tracked.word),
        }
    )


def _parts(walked: "WalkForward") -> list[dict[str, Any]]:
    """The parts in order of time: the set that the past before each chose, and what it came to."""
    return [
        {"from": str(one.first_day), "to": str(one.last_day), "chosen_by": one.chosen_by, **one.params, **one.metrics}
        for one in walked.folds
    ]


def _ranked(chunks: list[list[Any]], rank_by: str) -> "Sweep":
    import numpy as np

    from ibkr_assets.backtest.account import TRADE
    from ibkr_assets.backtest.luck import Shape
    from ibkr_assets.backtest.sweep import Row, join

    rows = [
        Row(params, metrics, None if shape is None else Shape(*shape), np.empty(0, TRADE))
        for _, of_chunk in chunks
        for params, metrics, shape in of_chunk
    ]
    return join(rows, [text for refusals, _ in chunks for text in refusals], rank_by)


sweep_job = dg.define_asset_job(
    "sweep",
    selection=dg.AssetSelection.assets("sweeps"),
    description="A strategy with many parameter sets, ranked; spread over as many runs as it says.",
    executor_def=dg.in_process_executor,
)


@dg.sensor(
    name="sweep_chunks",
    job=sweep_job,
    minimum_interval_seconds=4,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a run for each chunk of a sweep that no run has taken, or whose run was lost.",
)
def sweep_chunks(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[SettingsInForce]
) -> list[dg.RunRequest] | dg.SkipReason:
    """One run a chunk and attempt, ever: its key says so."""
    waiting = past_runs(settings.get()).waiting()
    tried = {sweep_id: runs_of(context.instance, sweep_id) for sweep_id in {one.sweep_id for one in waiting}}
    due = [
        (one, attempt)
        for one in waiting
        if (attempt := next_attempt(context.instance, one, tried[one.sweep_id])) is not None
    ]
    if not due:
        return dg.SkipReason("no sweep has a chunk without a run")
    return [
        dg.RunRequest(
            run_key=f"{one.sweep_id}:{one.chunk}" + (f":{attempt}" if attempt > 1 else ""),
            run_config={"ops": {"sweeps": {"config": {**one.config, "sweep_id": one.sweep_id, "chunk": one.chunk}}}},
            tags={SWEEP_TAG: one.sweep_id, CHUNK_TAG: f"{one.chunk} of {one.chunks}"},
        )
        for one, attempt in due
    ]

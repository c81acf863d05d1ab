"""Backtests and sweeps as Dagster runs: what is kept, and that many runs give what one gives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
import pytest

from ibkr_assets.adapters.postgres.past_runs import PostgresPastRuns
from ibkr_assets.defs.lost_chunks import MOST_ATTEMPTS
from ibkr_assets.defs.sweeps import sweep_chunks
from ibkr_assets_tests.defs.chain import Chain
from ibkr_assets_tests.fakes.tape import real_bars

DAYS = date(2012, 5, 18), date(2012, 11, 20)
ASKED = {
    "strategy": "sma_cross", "symbols": ["IBM", "FB"], "size": "percent:40", "commission": "ibkr-fixed",
    "start": "2012-05-18", "end": "2012-11-20",
}  # fmt: skip
GRID = {**ASKED, "grid": ["fast=2:10:2", "slow=5:20:5", "short=true,false"], "rank_by": "total_return"}


@pytest.fixture
def without_bars(database, database_url) -> Iterator[Chain]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Chain(database, database_url, instance, bars=real_bars("IBM", "FB", start=date(2012, 5, 18)))


@pytest.fixture
def chain(without_bars: Chain) -> Chain:
    without_bars.run(DAYS, select=("raw_bars", "validated_bars"), symbols=["IBM", "FB"])
    return without_bars


def launch(
    chain: Chain, asset: str, config: dict[str, Any], *, is_raising: bool = True, tags: dict[str, str] | None = None
) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        list(chain.definitions.assets or ()),
        selection=dg.AssetSelection.assets(asset),
        resources=chain.resources,
        instance=chain.instance,
        run_config={"ops": {asset: {"config": config}}},
        raise_on_error=is_raising,
        tags=tags,
    )


def shown(result: dg.ExecuteInProcessResult, asset: str) -> Any:
    (event,) = result.asset_materializations_for_node(asset)
    return event.metadata


def asked_for(chain: Chain) -> list[Any]:
    context = dg.build_sensor_context(instance=chain.instance, resources={"settings": chain.resources["settings"]})
    data = sweep_chunks.evaluate_tick(context)
    return list(data.run_requests or ())


def test_a_backtest_is_kept_with_its_files_and_shows_its_picture(chain: Chain) -> None:
    """And a stored strategy brings what the configuration leaves out."""
    result = launch(chain, "backtests", {**ASKED, "params": {"fast": 3, "slow": 10}})
    run = PostgresPastRuns(chain.database).load(result.run_id)
    assert run is not None
    assert (run.what, run.title, run.params) == ("backtest", "sma_cross fast=3 slow=10", {"fast": 3, "slow": 10})
    assert set(run.files) == {"trades.csv", "equity.csv", "metrics.json", "tear_sheet.html", "tear_sheet.png"}
    trades = (PostgresPastRuns(chain.database).file(result.run_id, "trades.csv") or b"").decode().splitlines()
    metadata = shown(result, "backtests")
    assert run.metrics["trades"] == len(trades) - 1 == metadata["dagster/row_count"].value > 0
    assert metadata["tear_sheet"].value.startswith("![chart](data:image/png;base64,")
    assert metadata["sharpe"].value == run.metrics["sharpe"]
    stored = launch(chain, "backtests", {"strategy_id": "cross", "symbols": ["IBM"], "params": {"fast": 4}})
    of_stored = PostgresPastRuns(chain.database).load(stored.run_id)
    assert of_stored is not None
    assert (of_stored.params, of_stored.about["size"]) == ({"fast": 4, "slow": 30}, "percent:8")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "name a kind"),
        ({"strategy_id": "none"}, "no such strategy"),
        ({**ASKED, "strategy": "smacross"}, "no such kind"),
        ({**ASKED, "start": "yesterday"}, "expected a day"),
        ({**ASKED, "risk": "some"}, "expected none or settings"),
    ],
)
def test_what_cannot_be_traded_is_named_in_one_line(without_bars: Chain, config: dict[str, Any], words: str) -> None:
    result = launch(without_bars, "backtests", config, is_raising=False)
    (failure,) = result.get_step_failure_events()
    assert words in str(failure.step_failure_data.error.message)  # type: ignore[union-attr]


def test_a_sweep_in_chunks_is_the_sweep_in_one_run_whatever_run_is_last(chain: Chain) -> None:
    kept = PostgresPastRuns(chain.database)
    whole = launch(chain, "sweeps", GRID)
    assert asked_for(chain) == []
    first = launch(chain, "sweeps", {**GRID, "chunks": 3})
    assert kept.chunks(first.run_id) == (1, 3)
    assert kept.load(first.run_id) is None
    requests = asked_for(chain)
    assert [request.run_key for request in requests] == [f"{first.run_id}:{chunk}" for chunk in (2, 3)]
    configs = [request.run_config["ops"]["sweeps"]["config"] for request in requests]
    last = launch(chain, "sweeps", configs[1])
    assert "best" not in shown(last, "sweeps")
    joined = launch(chain, "sweeps", configs[0])
    assert kept.file(first.run_id, "sweep.csv") == kept.file(whole.run_id, "sweep.csv")
    assert shown(joined, "sweeps")["ranking"] == shown(whole, "sweeps")["ranking"]
    one, other = kept.load(whole.run_id), kept.load(first.run_id)
    assert one is not None
    assert other is not None
    assert (one.params, one.metrics) == (other.params, other.metrics)
    assert [run.run_id for run in kept.newest(2)] == [first.run_id, whole.run_id]
    again = launch(chain, "sweeps", configs[1])
    assert kept.file(first.run_id, "sweep.csv") == kept.file(whole.run_id, "sweep.csv")
    assert shown(again, "sweeps")["best"] == shown(whole, "sweeps")["best"]


@dg.job
def _any_job() -> None:
    """Stands for the sweep's own in runs that never get as far as their work."""


def ask(chain: Chain, chunks: int) -> dg.DagsterRun:
    """A sweep as its first run leaves it that has taken its own chunk and kept nothing yet."""
    kept, run = PostgresPastRuns(chain.database), chain.instance.create_run_for_job(_any_job)
    kept.ask(run.run_id, chunks, {**GRID, "chunks": chunks})
    kept.take(run.run_id, 1, run.run_id)
    return run


def begin(chain: Chain, request: Any) -> dg.DagsterRun:
    """The run that a request leads to, as a worker has taken it."""
    run = chain.instance.create_run_for_job(_any_job, tags=request.tags)
    config = request.run_config["ops"]["sweeps"]["config"]
    PostgresPastRuns(chain.database).take(config["sweep_id"], config["chunk"], run.run_id)
    return run


def lose(chain: Chain, run: dg.DagsterRun) -> None:
    """As the monitor of runs says it of one whose worker is gone."""
    chain.instance.report_run_failed(run, "its worker does not answer")


def test_a_chunk_whose_run_was_lost_is_asked_for_again_and_not_for_ever(without_bars: Chain) -> None:
    sweep, keys = ask(without_bars, 2).run_id, []
    for _ in range(MOST_ATTEMPTS):
        (request,) = asked_for(without_bars)
        keys.append(request.run_key)
        run = begin(without_bars, request)
        assert asked_for(without_bars) == [], "a run is at it"
        lose(without_bars, run)
    assert keys == [f"{sweep}:2", f"{sweep}:2:2", f"{sweep}:2:3"]
    assert asked_for(without_bars) == [], "what loses so many workers is no accident"


def test_the_chunk_of_the_run_that_was_launched_is_asked_for_again_too(without_bars: Chain) -> None:
    run = ask(without_bars, 1)
    assert asked_for(without_bars) == []
    lose(without_bars, run)
    (request,) = asked_for(without_bars)
    assert request.run_key == f"{run.run_id}:1:2"
    PostgresPastRuns(without_bars.database).keep(run.run_id, 1, [[], []])
    assert asked_for(without_bars) == []


def test_a_run_that_was_lost_before_it_took_its_chunk_is_replaced(without_bars: Chain) -> None:
    ask(without_bars, 2)
    (request,) = asked_for(without_bars)
    lose(without_bars, without_bars.instance.create_run_for_job(_any_job, tags=request.tags))
    assert [one.run_key for one in asked_for(without_bars)] == [f"{request.run_key}:2"]


def test_what_failed_by_itself_or_was_ended_by_a_person_is_not_asked_for_again(without_bars: Chain) -> None:
    ask(without_bars, 3)
    failing, ended = asked_for(without_bars)
    config = failing.run_config["ops"]["sweeps"]["config"]
    launch(without_bars, "sweeps", {**config, "rank_by": "beauty"}, is_raising=False, tags=failing.tags)
    run = begin(without_bars, ended)
    without_bars.instance.report_run_canceled(run)
    assert asked_for(without_bars) == []

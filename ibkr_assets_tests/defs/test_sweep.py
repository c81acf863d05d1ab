"""The sweep as an asset: it fills what came late, and shows what nobody has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import dagster as dg
import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.defs.sweep import daily_sweep
from ibkr_assets_tests.defs.chain import Chain, checks_of, metadata_of
from ibkr_assets_tests.fakes.tape import CONIDS

DAY, HOLE = date(2012, 11, 21), date(2012, 11, 7)


@pytest.fixture
def chain(database: Database, database_url: str) -> Iterator[Chain]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Chain(database, database_url, instance)


def sweep(chain: Chain) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        list(chain.definitions.assets or ()),
        selection=dg.AssetSelection.assets("bar_sweep"),
        resources=chain.resources,
        instance=chain.instance,
    )


def test_the_sweep_fills_a_hole_and_then_finds_none(chain: Chain) -> None:
    chain.run(DAY, select=("raw_bars",))
    with chain.database.connect() as connection:
        connection.execute("delete from md.bar where conid = %s and opened_at::date = %s", (CONIDS["IBM"], HOLE))
    shown = metadata_of(sweep(chain), "bar_sweep")
    assert (shown["instruments"], shown["open"], shown["tried"], shown["filled"]) == (5, 1, 1, 1)
    again = sweep(chain)
    assert metadata_of(again, "bar_sweep")["open"] == 0
    assert checks_of(again) == {"no_gap_is_given_up": True}
    with chain.database.connect() as connection:
        bar = connection.execute(
            "select verdict from md.bar_verdict where conid = %s and opened_at::date = %s", (CONIDS["IBM"], HOLE)
        ).fetchall()
    assert bar == [("accepted",)]


def test_the_sweep_has_a_job_of_its_own_that_orders_nothing() -> None:
    assert daily_sweep.name == "daily_sweep"
    assert daily_sweep.selection == dg.AssetSelection.assets("bar_sweep", "broker_hours")

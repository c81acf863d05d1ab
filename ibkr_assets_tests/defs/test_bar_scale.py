"""The nightly look at the scale of stored bars: a source that halves its history holds the instrument."""

from __future__ import annotations

from datetime import date

import dagster as dg

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.quarantine import PostgresQuarantine
from ibkr_assets.defs.bar_scale import nightly_scale
from ibkr_assets_tests.defs.chain import Chain, checks_of, metadata_of
from ibkr_assets_tests.fakes.tape import CONIDS

DAY, SPLIT_DAY = date(2012, 11, 21), date(2012, 11, 1)


def test_a_history_that_comes_back_halved_fails_the_check_and_holds_the_instrument(
    database: Database, database_url: str
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        chain = Chain(database, database_url, instance)
        chain.run(DAY, select=("raw_bars", "validated_bars"))

        def look() -> dg.ExecuteInProcessResult:
            return dg.materialize(
                list(chain.definitions.assets or ()), selection=dg.AssetSelection.assets("bar_scale"),
                resources=chain.resources, instance=instance, raise_on_error=False,
            )  # fmt: skip

        assert checks_of(look()) == {"no_scale_has_changed": True}
        held = PostgresQuarantine(database)
        assert held.holds() == []
        is_older = (chain.bars["conid"] == CONIDS["IBM"]) & (chain.bars["opened_at"].dt.date < SPLIT_DAY)
        chain.bars.loc[is_older, ["open", "high", "low", "close"]] /= 2
        found = look()
        assert checks_of(found) == {"no_scale_has_changed": False}
        assert "2012-11-01" in str(metadata_of(found, "bar_scale")["rescaled"])
        assert [hold.symbol for hold in held.holds()] == ["IBM"]
    assert nightly_scale.selection == dg.AssetSelection.assets("bar_scale")

"""The order ledger's check: evaluated with `orders`, run alone, and not passed by a ledger that contradicts itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import dagster as dg
import pytest

from ibkr_assets.adapters.postgres.invariants import INVARIANTS
from ibkr_assets.definitions import defs
from ibkr_assets_tests.defs.chain import Chain, checks_of
from ibkr_assets_tests.execution.desk import an_intent, approve

DAY = date(2012, 10, 1)
CHECK = dg.AssetCheckKey(dg.AssetKey("orders"), "ledger_is_consistent")


@pytest.fixture
def chain(database, database_url) -> Iterator[Chain]:
    """A ledger of one order, and no bar or signal."""
    with dg.DagsterInstance.ephemeral() as instance:
        made = Chain(database, database_url, instance)
        made.move_after_close(DAY)
        made.book.propose(an_intent(), approve, now=made.clock.now(), dagster_run_id=None, created_by="test")
        yield made


def alone(chain: Chain) -> dg.ExecuteInProcessResult:
    """A run of the check and nothing else, as the button of its page asks for it: without a partition."""
    return dg.materialize(
        list(chain.definitions.assets or ()), selection=dg.AssetSelection.checks(CHECK), resources=chain.resources,
        instance=chain.instance, raise_on_error=False,
    )  # fmt: skip


def test_the_page_may_run_it_alone_and_both_ways_of_trading_include_it() -> None:
    assert defs.resolve_asset_graph().get_execution_set_asset_and_check_keys(CHECK) == {CHECK}
    assert CHECK in defs.resolve_job_def("trading_strategy").asset_layer.asset_graph.asset_check_keys


def test_alone_it_proposes_nothing_and_with_the_asset_it_is_evaluated_in_the_same_step(chain: Chain) -> None:
    result = alone(chain)
    assert (result.success, checks_of(result)) == (True, {CHECK.name: True})
    assert result.get_asset_materialization_events() == []
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.metadata["invariants"].value == len(INVARIANTS)
    both = chain.run(DAY, select=("orders",))
    assert [event.step_key for event in both.all_events if event.event_type_value == "STEP_SUCCESS"] == ["orders"]
    assert (both.success, checks_of(both)) == (True, {CHECK.name: True})
    assert len(both.asset_materializations_for_node("orders")) == 1


def test_a_planted_contradiction_is_shown_with_its_rows_and_ends_the_run(chain: Chain) -> None:
    with chain.database.connect() as connection:
        connection.execute("alter table oms.order_intent disable trigger user")
        connection.execute("update oms.order_intent set filled = 3")
        connection.execute("alter table oms.order_intent enable trigger user")
    for result in (alone(chain), chain.run(DAY, select=("orders",), is_raising=False)):
        assert (result.success, checks_of(result)) == (False, {CHECK.name: False})
        (evaluation,) = result.get_asset_check_evaluations()
        assert evaluation.metadata["broken"].value == "I3"
        (record,) = chain.book.intents()
        shown = str(evaluation.metadata["ledger"].value).splitlines()[2]
        assert shown.startswith("| I3 | an order's filled quantity is the sum of its executions | 1 | q1-")
        assert record.client_order_id in shown

"""The chain over a real database and a gateway in a process of its own, with its market clock."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest

from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.defs.chain import Chain, metadata_of
from ibkr_assets_tests.fakes.tape import CONIDS
from ibkr_assets_tests.gateway import start_gateway

DAY = date(2012, 11, 23)  # a half day: the clock passes its early close


@pytest.mark.slow
def test_a_session_flows_from_the_gateway_to_intents(database, database_url) -> None:
    session = exchange_calendar("XNYS").session(DAY)
    with start_gateway(clock_start=session.closes_at) as gateway, dg.DagsterInstance.ephemeral() as instance:
        gateway.step_clock(20 * 60)
        chain = Chain(database, database_url, instance, gateway=gateway)
        result = chain.run(DAY)
        again = chain.run(DAY)
    assert result.success
    assert again.success
    assert metadata_of(result, "raw_bars")["inserted"] == len(CONIDS) * 121  # the session and its warm-up
    assert metadata_of(again, "raw_bars")["inserted"] == 0
    assert metadata_of(again, "orders")["existing"] == len(chain.book.intents()) > 0
    assert {record.intent.time_in_force.value for record in chain.book.intents()} == {"OPG"}

"""What the simulated account's sales owe it, against the days that the platform has for the same."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.market.new_york import list_sessions
from ibkr_assets.market.settlement import settles_on
from ibkr_assets.simulator.listings import contracts_of
from ibkr_assets.simulator.settlement import unsettled_proceeds
from ibkr_assets.simulator.tape import Tape
from ibkr_assets.simulator.venue_order import Execution

SESSIONS = list_sessions("XNYS", date(2011, 1, 3), date(2025, 12, 31))
TAPE = Tape(SESSIONS, contracts_of(["IBM"]), {})
NEW_YORK = ZoneInfo("America/New_York")


def execution(traded: date, side: str = "SELL", quantity: int = 10, price: str = "200") -> Execution:
    at = datetime(traded.year, traded.month, traded.day, 16, tzinfo=UTC)
    return Execution("1", 1, "q1-a", 8314, side, Decimal(quantity), Decimal(price), Decimal(1), at)


def test_only_sales_are_waited_for_and_their_commissions_are_not() -> None:
    made = [execution(date(2024, 6, 3)), execution(date(2024, 6, 4), "BUY"), execution(date(2024, 6, 4), price="201")]
    assert unsettled_proceeds(made, datetime(2024, 6, 4, 20, tzinfo=UTC), TAPE) == 2010
    assert unsettled_proceeds(made, datetime(2024, 6, 5, 3, 59, tzinfo=UTC), TAPE) == 2010
    assert unsettled_proceeds(made, datetime(2024, 6, 5, 4, tzinfo=UTC), TAPE) == 0


@given(st.sampled_from([session.day for session in SESSIONS[:-10]]))
def test_a_sale_settles_at_the_gateway_when_it_does_in_the_platform_s_books(traded: date) -> None:
    day = settles_on(traded)
    begins = datetime(day.year, day.month, day.day, tzinfo=NEW_YORK)
    assert unsettled_proceeds([execution(traded)], begins, TAPE) == 0
    assert unsettled_proceeds([execution(traded)], begins - timedelta(seconds=1), TAPE) == 2000

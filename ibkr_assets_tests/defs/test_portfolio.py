"""The portfolio beside what was decided: nothing to tell while it follows, an alert when shares go missing."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.adapters.postgres.alerts import PostgresAlerts
from ibkr_assets.adapters.postgres.drift import read_holdings
from ibkr_assets.definitions import build
from ibkr_assets.defs.maintenance import maintenance_at_night
from ibkr_assets.domain.order import Mode
from ibkr_assets.portfolio.drift import Holding, measure_drift
from ibkr_assets.settings import load
from ibkr_assets_tests.defs.ticks import Peers, at, evaluate_schedule
from ibkr_assets_tests.execution.decided import NYSE, Decided, decide
from ibkr_assets_tests.execution.desk import ACCOUNT, REF

NEXT = NYSE.session(date(2012, 10, 2))
LATER = datetime(2012, 10, 2, 22, tzinfo=UTC)


@pytest.fixture
def decided(database, tmp_path) -> Decided:
    """One order of a session, filled at the next opening; the account was valued after that session."""
    made = decide(database, tmp_path)
    with database.connect() as connection:
        connection.execute(
            "insert into oms.nav_day (account_ref, session_date, snapshot_id) "
            "select account_ref, %s, max(snapshot_id) from oms.account_snapshot group by account_ref "
            "on conflict do nothing",
            (NEXT.day,),
        )
        connection.execute(
            "insert into oms.recon_run (account_ref, epoch, kind, gateway_session, finished_at, is_clean, orders_seen, "
            "trades_seen, breaks_open) values (%s, 1, 'watch', 's', clock_timestamp(), true, 1, 1, 0)",
            (REF,),
        )
    return made


def materialize(database, *names: str, fraction: str = "0.001") -> dict[str, bool]:
    """Run these assets as of the evening after the fill. Returns each check and whether it passes."""
    settings = load(
        {
            "IBKR_ASSETS_MODE": "sim", "IBKR_ASSETS_ACCOUNT": ACCOUNT, "IBKR_ASSETS_DATABASE_URL": database.url,
            "IBKR_ASSETS__ALERTS__DRIFT_FRACTION": fraction,
        }
    )  # fmt: skip
    definitions = build(lambda: settings)

    class Standing:
        def now(self) -> datetime:
            return LATER

    resources = dict(definitions.resources or {}) | {"clock": Standing()}
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            list(definitions.assets or ()), selection=dg.AssetSelection.assets(*names), resources=resources,
            instance=instance,
        )  # fmt: skip
        return {one.check_name: one.passed for one in result.get_asset_check_evaluations()}


def test_a_portfolio_that_follows_is_quiet_and_one_that_lost_shares_is_told_until_they_are_back(
    decided, database
) -> None:
    (holding,) = read_holdings(database, REF, Mode.SIM, NEXT.closes_at)
    assert holding.wanted == holding.held == decided.record.intent.quantity
    assert materialize(database, "portfolio") == {"nav_is_fresh": True, "holdings_follow_decisions": True}
    alerts = PostgresAlerts(database, REF, "test")
    assert alerts.list_alerts() == []
    filled = int(holding.held)
    decided.forge("oms.execution", f"update oms.execution set quantity = {filled - 5}")
    assert materialize(database, "portfolio")["holdings_follow_decisions"] is False
    (alert,) = alerts.list_alerts(is_open_only=True)
    assert alert["kind"] == "portfolio_drift"
    assert "the widest gap: FB of cross" in alert["text"]
    decided.forge("oms.execution", f"update oms.execution set quantity = {filled}")
    materialize(database, "portfolio")
    assert alerts.list_alerts(is_open_only=True) == []


def test_the_comparison_is_shown_asked_for_again_and_fails_while_a_difference_is_open(decided, database) -> None:
    assert materialize(database, "reconciliation") == {"books_agree": True}
    with database.connect() as connection:
        (asked,) = connection.execute("select requested_by from oms.recon_request").fetchone()
        connection.execute(
            "insert into oms.recon_break (account_ref, kind, subject, blocks, conid, detail) "
            "values (%s, 'position', 'FB', 'conid', 1, '{}')",
            (REF,),
        )
    assert asked == "dagster:reconciliation"
    assert materialize(database, "reconciliation") == {"books_agree": False}


@pytest.mark.parametrize(
    ("now", "due"),
    [("2012-11-21 21:00", "2012-11-20"), ("2012-11-23 21:00", "2012-11-21"), ("2012-11-25 21:00", "2012-11-21")],
)
def test_the_night_looks_through_everything_once_a_session(now, due) -> None:
    with dg.instance_for_test() as instance:
        (request,) = evaluate_schedule(maintenance_at_night, Peers(at(now)), instance, at(now))
    assert request.partition_key == due


amounts = st.decimals(-10_000, 10_000, places=2)


@given(rows=st.lists(st.tuples(amounts, amounts, st.decimals("0.01", 500, places=2)), max_size=8))
def test_the_drift_is_the_sum_of_all_gaps_and_the_widest_comes_first(rows) -> None:
    holdings = [Holding("s", n, str(n), wanted, held, price) for n, (wanted, held, price) in enumerate(rows)]
    drift = measure_drift(holdings, Decimal(100_000))
    gaps = [abs(one.gap_usd) for one in drift.holdings]
    assert gaps == sorted(gaps, reverse=True)
    assert drift.fraction * 100_000 == sum(abs((wanted - held) * price) for wanted, held, price in rows)
    assert (drift.fraction == 0) == all(wanted == held for wanted, held, _ in rows)


def test_an_account_without_value_has_no_drift() -> None:
    with pytest.raises(ValueError, match="nav_usd"):
        measure_drift([], Decimal(0))

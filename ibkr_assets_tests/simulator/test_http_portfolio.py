"""Money and positions over the wire agree with each other and with what was traded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, IBM, Api, connect


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    """10 AAPL bought and 5 IBM sold short at the open of 2012-11-06, the day before both go ex-dividend."""
    with start_gateway(clock_start="2012-11-05T22:00:00+00:00") as running:
        with connect(running) as api:
            api.place_through(price=600.0, cOID="q1-a")
            api.place_through(conid=IBM, side="SELL", price=190.0, quantity=5, cOID="q1-b")
        running.set_clock("2012-11-06T21:00:00+00:00")
        yield running


@pytest.fixture
def api(gateway: RunningGateway) -> Iterator[Api]:
    gateway.restart_session()
    with connect(gateway) as client:
        yield client


def test_ledger_summary_and_positions_agree(api: Api) -> None:
    ledger = api.get(f"/portfolio/{api.account}/ledger").json()["USD"]
    summary = api.get(f"/portfolio/{api.account}/summary").json()
    rows = api.get(f"/portfolio2/{api.account}/positions").json()
    value = sum(row["marketValue"] for row in rows)
    assert ledger["stockmarketvalue"] == pytest.approx(value)
    assert ledger["netliquidationvalue"] == pytest.approx(ledger["cashbalance"] + value)
    assert summary["netliquidation"]["amount"] == ledger["netliquidationvalue"]
    assert summary["totalcashvalue"] == summary["totalcashvalue-s"]
    assert {row["conid"]: row["position"] for row in rows} == {str(AAPL): 10.0, str(IBM): -5.0}


def test_first_positions_are_sparse_and_later_ones_full(api: Api) -> None:
    sparse = api.get(f"/portfolio/{api.account}/positions/0").json()
    full = api.get(f"/portfolio/{api.account}/positions/0").json()
    assert "ticker" not in sparse[0]
    assert [(row["ticker"], row["strike"]) for row in full] == [("IBM", "0"), ("AAPL", "0")]
    assert api.get(f"/portfolio/{api.account}/positions/1").json() == []
    assert api.post(f"/portfolio/{api.account}/positions/invalidate").json() == {"message": "success"}
    (one,) = api.get(f"/portfolio/{api.account}/position/{AAPL}").json()
    assert one == full[1]
    assert api.get(f"/portfolio/positions/{AAPL}").json() == {api.account: [one]}


def test_pnl_is_empty_first_and_allocation_has_both_sides(api: Api) -> None:
    assert api.get("/iserver/account/pnl/partitioned").json() == {"upnl": {}}
    (row,) = api.get("/iserver/account/pnl/partitioned").json()["upnl"].values()
    ledger = api.get(f"/portfolio/{api.account}/ledger").json()["BASE"]
    assert (row["nl"], row["mv"]) == (ledger["netliquidationvalue"], ledger["stockmarketvalue"])
    allocation = api.get(f"/portfolio/{api.account}/allocation").json()["assetClass"]
    assert allocation["short"]["STK"] < 0 < allocation["long"]["STK"]


def test_another_account_is_refused(api: Api) -> None:
    for path in ("/portfolio/U9/ledger", "/portfolio/U9/summary", "/portfolio/U9/positions/0", "/portfolio/U9/meta"):
        assert api.get(path).json()["error"] == "accountId is not valid: U9"


def test_dividends_go_ex_are_owed_and_are_paid(gateway: RunningGateway, api: Api) -> None:
    before = api.get(f"/portfolio/{api.account}/ledger").json()["USD"]
    gateway.set_clock("2012-11-07T14:30:00+00:00")
    ex = api.get(f"/portfolio/{api.account}/ledger").json()["USD"]
    # By hand: 10 x 2.65 of Apple, less 5 x 0.85 of IBM that the short seller owes.
    assert ex["dividends"] == 26.5 - 4.25
    assert ex["cashbalance"] == before["cashbalance"]
    assert ex["netliquidationvalue"] == pytest.approx(ex["cashbalance"] + ex["stockmarketvalue"] + 22.25)
    gateway.set_clock("2012-11-21T14:30:00+00:00")
    paid = api.get(f"/portfolio/{api.account}/ledger").json()["USD"]
    assert (paid["dividends"], paid["cashbalance"]) == (0.0, pytest.approx(before["cashbalance"] + 22.25))

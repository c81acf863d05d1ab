"""Money and positions over the wire agree with each other and with what was traded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.simulator.foreign_cash import ForeignCash
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


def test_the_proceeds_of_a_sale_are_cash_at_once_and_settled_three_business_days_later(
    gateway: RunningGateway, api: Api
) -> None:
    (sale,) = (row for row in api.trades() if row["side"] == "S")
    proceeds = float(sale["size"]) * float(sale["price"])
    ledger = api.get(f"/portfolio/{api.account}/ledger").json()
    for entry in (ledger["USD"], ledger["BASE"]):
        assert entry["settledcash"] == pytest.approx(entry["cashbalance"] - proceeds)
    in_all = api.get(f"/iserver/account/{api.account}/summary").json()["cashBalances"]
    assert {row["settledCash"] for row in in_all} == {ledger["USD"]["settledcash"]}
    summary = api.get(f"/portfolio/{api.account}/summary").json()
    assert summary["availabletowithdraw"]["amount"] <= ledger["USD"]["settledcash"]
    gateway.set_clock("2012-11-07T04:00:00+00:00")
    assert api.get(f"/portfolio/{api.account}/ledger").json()["USD"]["settledcash"] == ledger["USD"]["settledcash"]


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
    assert paid["settledcash"] == paid["cashbalance"]


def test_the_summary_has_every_key_that_ibkr_documents(api: Api) -> None:
    answer = api.get(f"/portfolio/{api.account}/summary").json()
    assert len(answer) == 114
    ledger = api.get(f"/portfolio/{api.account}/ledger").json()["USD"]
    money = {key: row["amount"] for key, row in answer.items() if row["currency"] == "USD"}
    assert money["equitywithloanvalue"] == pytest.approx(ledger["cashbalance"] + ledger["stockmarketvalue"])
    assert money["excessliquidity"] == pytest.approx(money["netliquidation"] - money["maintmarginreq"])
    assert {amount for key, amount in money.items() if key.endswith("-c")} == {0.0}
    assert all((row["value"] is None) is (row["currency"] == "USD") for row in answer.values())
    assert answer["accountcode"]["value"] == api.account


def test_the_brokerage_summaries_say_the_same_in_their_own_words(api: Api) -> None:
    summary = api.get(f"/portfolio/{api.account}/summary").json()
    whole = api.get(f"/iserver/account/{api.account}/summary").json()
    nav, funds = summary["netliquidation"]["amount"], summary["availablefunds"]["amount"]
    assert (whole["netLiquidationValue"], whole["availableFunds"]) == (nav, funds)
    assert [row["currency"] for row in whole["cashBalances"]] == ["USD", "Total (in USD)"]

    def part(name: str) -> dict[str, dict[str, str]]:
        answer = api.get(f"/iserver/account/{api.account}/summary/{name}").json()
        assert isinstance(answer, dict)
        return answer

    assert part("available_funds")["total"]["current_available"] == f"{funds:,.0f} USD"
    assert part("balances")["securities"]["net_liquidation"] == f"{nav:,.0f} USD"
    assert part("margins")["total"]["current_initial"] == f"{summary['initmarginreq']['amount']:,.0f} USD"
    assert part("market_value")["USD"]["net_liquidation"] == f"{nav:,.0f}"
    assert api.get("/iserver/account/U9/summary").json()["error"] == "accountId is not valid: U9"


def test_positions_are_sorted_on_request(api: Api) -> None:
    path = f"/portfolio/{api.account}/positions/0"
    assert [row["position"] for row in api.get(path, sort="position", direction="a").json()] == [-5.0, 10.0]
    assert [row["position"] for row in api.get(path, sort="position", direction="d").json()] == [10.0, -5.0]
    for page in ("-1", "x", "²"):
        assert api.get(f"/portfolio/{api.account}/positions/{page}").status_code == 400


def test_the_paged_positions_may_be_old_until_they_are_invalidated() -> None:
    stale = ("--stale-positions-s", "120")
    with start_gateway(clock_start="2012-11-05T22:00:00+00:00", extra=stale) as running, connect(running) as api:

        def held(path: str = "portfolio/{}/positions/0") -> float:
            (row,) = api.get("/" + path.format(api.account)).json()
            return float(row["position"])

        running.move_position(AAPL, 10)
        assert held() == 10
        running.move_position(AAPL, 5)
        running.step_clock(60)
        assert (held(), held("portfolio2/{}/positions"), held(f"portfolio/{{}}/position/{AAPL}")) == (10, 15, 15)
        api.post(f"/portfolio/{api.account}/positions/invalidate")
        assert held() == 15
        running.move_position(AAPL, 1)
        running.step_clock(120)
        assert held() == 16


def test_a_ledger_of_several_currencies_has_its_base_in_the_account_s_own() -> None:
    cash = ("--foreign-cash", "EUR:1000:1.25", "JPY:14781:0.01")
    with start_gateway(extra=cash) as running, connect(running) as api:
        ledger = api.get(f"/portfolio/{api.account}/ledger").json()
        worth = api.get(f"/portfolio/{api.account}/summary").json()["netliquidation"]["amount"]
        allocation = api.get(f"/portfolio/{api.account}/allocation").json()
    assert list(ledger) == ["EUR", "JPY", "USD", "BASE"]
    found = {name: (row["cashbalance"], row["exchangerate"]) for name, row in ledger.items()}
    # By hand: 1,000 x 1.25 + 14,781 x 0.01 = 1,397.81.
    assert found == {"EUR": (1000, 1.25), "JPY": (14781, 0.01), "USD": (100_000, 1), "BASE": (101_397.81, 1)}
    assert ledger["BASE"]["netliquidationvalue"] == worth == allocation["assetClass"]["long"]["CASH"] == 101_397.81
    assert [name for name, row in ledger.items() if "endofbundle" in row] == ["USD"]


def test_foreign_cash_that_cannot_be_is_refused() -> None:
    for text in ("EUR", "EUR:1:0", "eur:1:1", "USD:1:1", "EUR:nan:1"):
        with pytest.raises(ConfigurationError, match="foreign_cash"):
            ForeignCash.parse(text)


def test_performance_tells_the_value_at_every_close_and_no_gain_from_what_came_in() -> None:
    # A report is answered once in 15 minutes; at this pace once in a millisecond.
    with start_gateway(clock_start="2012-10-01T13:00:00+00:00", pace=1e6) as running, connect(running) as api:
        api.place_through(price=680.0, cOID="p1")
        running.set_clock("2012-10-02T21:00:00+00:00")
        running.move_position(IBM, 10, price=200.0)
        running.set_clock("2012-10-03T21:00:00+00:00")
        body = {"acctIds": [api.account], "period": "7D"}
        report = api.post("/pa/performance", body).json()
        periods = api.post("/pa/allperiods", body).json()[api.account]
        ledger = api.get(f"/portfolio/{api.account}/ledger").json()["BASE"]
        api.place_through(price=600.0, side="SELL", quantity=4, cOID="p2")
        running.set_clock("2012-10-04T21:00:00+00:00")
        sold = api.post("/pa/transactions", {"acctIds": [api.account], "conids": [AAPL], "days": 5}).json()
        for wrong in ({}, {"acctIds": ["U9"]}, {"acctIds": [api.account], "period": "2D"}):
            assert api.post("/pa/performance", wrong).status_code == 400
    (nav,) = report["nav"]["data"]
    # By hand: 10 AAPL bought at 671.50 for 1.00; it closes at 659.39, 661.31, 671.45, and IBM at 210.51.
    values = [100_000 - 6715 - 1 + 10 * close for close in (659.39, 661.31, 671.45)]
    values[2] += 2105.1
    assert report["nav"]["dates"] == ["20121001", "20121002", "20121003"]
    assert nav["navs"] == [pytest.approx(value) for value in values]
    assert nav["navs"][-1] == pytest.approx(ledger["netliquidationvalue"])
    assert nav["startNAV"] == {"date": "20120930", "val": 100_000.0}
    (returns,) = report["cps"]["data"]
    whole = values[1] / 100_000 * values[2] / (values[1] + 2000) - 1
    assert returns["returns"][-1] == pytest.approx(whole, abs=1e-4)
    assert report["tpps"]["data"][0]["returns"] == [returns["returns"][-1]]
    assert periods["1D"]["nav"] == [nav["navs"][-1]]
    assert periods["MTD"]["dates"] == report["nav"]["dates"]
    assert [(row["type"], row["qty"], row["pr"]) for row in sold["transactions"]] == [
        ("Sell", -4.0, 671.25),
        ("Buy", 10.0, 671.5),
    ]
    (profit,) = sold["rpnl"]["data"]
    assert (profit["side"], float(profit["amt"])) == ("L", 1.0)  # 4 x (671.25 - 671.50)

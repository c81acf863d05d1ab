"""Contracts, listings and trading hours over the wire."""

from __future__ import annotations

import html
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, IBM, Api, connect

START = "2012-11-20T15:00:00+00:00"  # the Tuesday before Thanksgiving: a holiday and a half day follow


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with start_gateway(clock_start=START) as running:
        yield running


@pytest.fixture
def api(gateway: RunningGateway) -> Iterator[Api]:
    with connect(gateway) as client:
        yield client


def test_a_search_tells_every_listing_and_an_unknown_symbol_none(api: Api) -> None:
    rows = api.get("/iserver/secdef/search", symbol="ibm").json()
    assert [(row["conid"], row["description"]) for row in rows] == [("8314", "NYSE"), ("41645598", "LSE")]
    by_name = api.post("/iserver/secdef/search", {"symbol": "business mach", "name": True}).json()
    assert by_name == rows
    assert api.get("/iserver/secdef/search", symbol="NOSUCH").json() == []
    assert api.get("/iserver/secdef/search", symbol="IBM", secType="IND").json() == []
    assert api.get("/iserver/secdef/search").status_code == 400
    assert api.post("/iserver/secdef/search", {"symbol": ["IBM"]}).status_code == 400


def test_names_come_in_html_entities(api: Api) -> None:
    (apple, leveraged, receipt) = api.get("/trsrv/stocks", symbols="AAPL").json()["AAPL"]
    assert html.unescape(apple["chineseName"]) == "苹果公司"
    assert [c["exchange"] for c in apple["contracts"]] == ["NASDAQ", "MEXI", "EBS"]
    assert (leveraged["chineseName"], receipt["name"]) == (None, "APPLE INC-CDR")
    assert api.get("/trsrv/stocks", symbols="NOSUCH,aapl").json() == {"NOSUCH": [], "aapl": []}


def test_a_foreign_listing_may_come_first(tmp_path: Path) -> None:
    rows = "opened_at,open,high,low,close,volume\n2012-10-01,8,9,7,8,1000\n2012-10-02,8,9,7,8,1000\n"
    for symbol in ("BBVA", "SPY", "ZZA", "ZZB", "ZZC", "ZZD"):
        (tmp_path / f"{symbol}.csv").write_text(rows)
    with start_gateway(tape=tmp_path) as gateway, connect(gateway) as api:
        stocks = api.get("/trsrv/stocks", symbols="BBVA,SPY,ZZA,ZZB,ZZC,ZZD").json()
        first = api.get("/iserver/secdef/search", symbol="BBVA").json()[0]
        spy = api.get("/trsrv/secdef", conids=756733).json()["secdef"][0]
    assert [[c["isUS"] for c in company["contracts"]] for company in stocks["BBVA"]] == [[False, False], [True]]
    assert (first["conid"], first["description"]) == ("30314149", "BM")
    assert (spy["type"], spy["name"], spy["listingExchange"]) == ("ETF", "SPDR S&P 500 ETF TRUST", "ARCA")
    made_up = [stocks[symbol][0]["contracts"] for symbol in ("ZZA", "ZZB", "ZZC", "ZZD")]
    assert {contracts[0]["isUS"] for contracts in made_up} == {True, False}
    assert all(sum(c["isUS"] for c in contracts) == 1 for contracts in made_up)


def test_there_are_no_derivatives(api: Api) -> None:
    assert api.get("/trsrv/futures", symbols="ES,MES").json() == {"ES": [], "MES": []}
    strikes = api.get("/iserver/secdef/strikes", conid=AAPL, sectype="OPT", month="JAN13")
    assert strikes.json() == {"call": [], "put": []}
    assert api.get("/iserver/secdef/info", conid=AAPL, sectype="OPT", month="JAN13").json() == []
    stock = api.get("/iserver/secdef/info", conid=IBM, sectype="STK").json()
    assert (stock["conid"], stock["ticker"], stock["listingExchange"]) == (IBM, "IBM", "NYSE")
    assert api.get(f"/iserver/contract/{AAPL}/algos").json() == {"algos": []}


def test_an_exchange_tells_its_stocks(api: Api) -> None:
    assert api.get("/trsrv/all-conids", exchange="NYSE").json() == [{"ticker": "IBM", "conid": IBM, "exchange": "NYSE"}]
    nasdaq = api.get("/trsrv/all-conids", exchange="NASDAQ").json()
    assert {row["ticker"] for row in nasdaq} == {"AAPL", "FB", "GOOG", "MSFT"}
    assert api.get("/trsrv/all-conids", exchange="CME").json() == []


def test_the_round_lot_follows_the_price(api: Api) -> None:
    def lot(conid: int) -> tuple[float, int]:
        rules = api.post("/iserver/contract/rules", {"conid": conid, "isBuy": True}).json()
        return rules["limitPrice"], rules["sizeIncrement"]

    assert [lot(conid) for conid in (AAPL, IBM)] == [(571.91, 40), (189.88, 100)]
    both = api.get(f"/iserver/contract/{AAPL}/info-and-rules", isBuy="True").json()
    assert (both["con_id"], both["rules"]["sizeIncrement"]) == (AAPL, 40)


def at(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]


def test_the_newer_schedule_has_a_half_day_and_no_holiday(api: Api) -> None:
    answer = api.get("/contract/trading-schedule", conid=AAPL).json()
    assert answer["exchange_time_zone"] == "US/Eastern"
    days = answer["schedules"]
    assert list(days) == ["20121120", "20121121", "20121123", "20121126", "20121127"]
    whole, half = days["20121121"], days["20121123"]
    assert whole["liquid_hours"] == [{"opening": at(2012, 11, 21, 14, 30), "closing": at(2012, 11, 21, 21)}]
    assert half["liquid_hours"] == [{"opening": at(2012, 11, 23, 14, 30), "closing": at(2012, 11, 23, 18)}]
    (extended,) = half["extended_hours"]
    assert (extended["opening"], extended["closing"]) == (at(2012, 11, 23, 9), at(2012, 11, 23, 22))


def test_the_older_schedule_has_weekdays_and_exceptions(api: Api) -> None:
    (venue,) = api.get("/trsrv/secdef/schedule", assetClass="STK", symbol="AAPL").json()
    days: dict[str, dict[str, Any]] = {day["tradingScheduleDate"]: day for day in venue["schedules"]}
    assert venue["timezone"] == "America/New_York"
    weekdays = [bool(days[f"2000010{n}"]["sessions"]) for n in range(1, 8)]
    assert weekdays == [False, False, True, True, True, True, True]  # from a Saturday
    (monday,) = days["20000103"]["sessions"]
    assert (monday["openingTime"], monday["closingTime"]) == ("0930", "1600")
    # Thanksgiving, Christmas and New Year are closed; the days after the first and before the second close early.
    exceptions = {day: row["sessions"] for day, row in days.items() if day > "2001"}
    assert [day for day, sessions in exceptions.items() if not sessions] == ["20121122", "20121225", "20130101"]
    early = {day: sessions[0]["closingTime"] for day, sessions in exceptions.items() if sessions}
    assert early == {"20121123": "1300", "20121224": "1300"}
    assert api.get("/trsrv/secdef/schedule", assetClass="STK", symbol="NOSUCH").status_code == 500


def test_a_stock_below_a_dollar_has_steps_of_a_hundredth_of_a_cent_there(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-0{day},0.5,0.6,0.4,0.5012,900000\n" for day in (3, 4, 5))
    (tmp_path / "PNY.csv").write_text("opened_at,open,high,low,close,volume\n" + rows)
    with (
        start_gateway(tape=tmp_path, clock_start="2024-01-04T22:00:00+00:00") as running,
        connect(running) as api,
    ):
        (conid,) = (
            c["conid"]
            for row in api.get("/trsrv/stocks", symbols="PNY").json()["PNY"]
            for c in row["contracts"]
            if c["isUS"]
        )
        (row,) = api.get("/trsrv/secdef", conids=conid).json()["secdef"]
        told = api.post("/iserver/contract/rules", {"conid": conid, "isBuy": True}).json()
        assert row["incrementRules"] == told["incrementRules"]
        assert row["incrementRules"] == [{"lowerEdge": 0.0, "increment": 0.0001}, {"lowerEdge": 1.0, "increment": 0.01}]
        assert (told["increment"], told["incrementDigits"]) == (0.0001, 4)
        for _ in range(3):
            (quote,) = api.get("/iserver/marketdata/snapshot", conids=conid, fields="31,84,86").json()
        assert (quote["31"], quote["84"], quote["86"]) == ("0.5012", "0.5011", "0.5013")
        running.admin("POST", "/admin/venue", {"tick_limit": 100})
        asked = {
            price: api.place(conid=conid, cOID=None, price=price, tif="GTC").json()
            for price in (0.5013, 0.513, 0.50125)
        }
        assert asked[0.5013][0]["order_status"] == "PreSubmitted"
        assert asked[0.513][0]["messageIds"] == ["o382"]
        assert "minimum price variation" in asked[0.50125]["error"]


def test_what_ibkr_has_taken_away_is_not_there(api: Api) -> None:
    for path in ("/md/regsnapshot", "/hmds/history", "/no/such/path"):
        assert api.get(path).status_code == 404


def test_the_scanner_ranks_the_tape(api: Api) -> None:
    codes = [row["code"] for row in api.get("/iserver/scanner/params").json()["scan_type_list"]]
    assert codes == ["TOP_PERC_GAIN", "TOP_PERC_LOSE", "MOST_ACTIVE"]

    def scan(code: Any) -> list[str]:
        body = {"instrument": "STK", "type": code, "location": "STK.US.MAJOR", "filter": []}
        return [row["symbol"] for row in api.post("/iserver/scanner/run", body).json()["contracts"]]

    gainers = scan("TOP_PERC_GAIN")
    assert len(gainers) == 5
    assert scan("TOP_PERC_LOSE") == gainers[::-1]
    assert api.post("/iserver/scanner/run", {"instrument": "STK", "type": []}).status_code == 400
    assert api.get("/fyi/unreadnumber").json() == {"BN": 0}

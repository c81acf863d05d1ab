"""History, snapshots and contracts over the wire, on the real tape."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, Api, connect

FB = 107113386


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with start_gateway(clock_start="2012-10-01T15:00:00+00:00", extra=("--history-latency-s", "0.05")) as running:
        yield running


@pytest.fixture
def api(gateway: RunningGateway) -> Iterator[Api]:
    with connect(gateway) as client:
        yield client


def chart(api: Api, **query: str | int) -> dict[str, Any]:
    answer = api.get("/iserver/marketdata/history", **{"conid": AAPL, "bar": "1d", **query})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def stamp(bar: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(bar["t"] / 1000, UTC)


def test_daily_bars_are_stamped_with_the_open_and_points_is_one_less(api: Api) -> None:
    answer = chart(api, period="5d", startTime="20120928-20:00:00")
    assert (len(answer["data"]), answer["points"]) == (5, 4)
    assert [stamp(bar).isoformat() for bar in answer["data"]][-1] == "2012-09-28T13:30:00+00:00"
    assert answer["startTime"] == "20120924-13:30:00"
    last = answer["data"][-1]
    # The tape's own row of AAPL 2012-09-28: open 678.75, close 667.105, volume 19,111,100 shares.
    assert (last["o"], last["c"]) == (678.75, 667.105)
    assert last["v"] * answer["volumeFactor"] == 19_111_100


def test_the_bar_of_an_open_session_shows_its_open_alone(api: Api) -> None:
    newest = chart(api, period="2d")["data"][-1]
    assert stamp(newest).isoformat() == "2012-10-01T13:30:00+00:00"
    assert newest["o"] == newest["h"] == newest["l"] == newest["c"] == 671.5
    assert newest["v"] == 0


def test_start_time_is_the_end_of_the_window_and_paging_back_meets_no_gap(api: Api) -> None:
    newer = chart(api, period="10d")["data"]
    older = chart(api, period="10d", startTime=stamp(newer[0]).strftime("%Y%m%d-%H:%M:%S"))["data"]
    assert older[-1] == newer[0]
    both = chart(api, period="19d")["data"]
    assert both == older[:-1] + newer


def test_no_bar_is_of_the_future(api: Api) -> None:
    bars = chart(api, period="1m", startTime="20300101-00:00:00")["data"]
    assert stamp(bars[-1]) <= datetime(2012, 10, 1, 15, 0, tzinfo=UTC)


def test_a_thousand_points_are_the_most(api: Api) -> None:
    bars = chart(api, period="10y", bar="1d")["data"]
    assert len(bars) == 1000
    assert stamp(bars[-1]).date().isoformat() == "2012-10-01"


def test_weeks_and_months_are_made_of_days(api: Api) -> None:
    month = chart(api, period="1m", bar="1m", startTime="20120928-21:00:00")["data"][-1]
    days = [bar for bar in chart(api, period="2m", startTime="20120928-21:00:00")["data"] if stamp(bar).month == 9]
    assert stamp(month).isoformat() == "2012-09-01T00:00:00+00:00"
    assert (month["o"], month["c"]) == (days[0]["o"], days[-1]["c"])
    assert (month["h"], month["l"]) == (max(b["h"] for b in days), min(b["l"] for b in days))
    assert month["v"] == pytest.approx(sum(b["v"] for b in days))
    week = chart(api, period="1w", bar="1w", startTime="20120928-21:00:00")["data"][-1]
    assert (week["o"], week["c"]) == (days[-5]["o"], days[-1]["c"])


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"period": "15y", "bar": "1d"}, 500),
        ({"period": "1d", "bar": "1w"}, 500),
        ({"period": "1d", "bar": "1min"}, 500),
        ({"period": "5d", "bar": "1d", "direction": "1"}, 500),
        ({"period": "1001d", "bar": "1d"}, 400),
        ({"period": "5d", "bar": "7min"}, 400),
        ({"period": "5d", "bar": "1d", "startTime": "yesterday"}, 400),
        ({"period": "5d", "bar": "1d", "conid": 1}, 500),
        ({"period": "5d", "bar": "1d", "conid": "x"}, 400),
        ({"period": "5d", "bar": "1d", "conid": FB, "startTime": "20110101-00:00:00"}, 500),
    ],
)
def test_charts_that_are_not_to_be_had(api: Api, query: dict[str, str | int], status: int) -> None:
    answer = api.get("/iserver/marketdata/history", **{"conid": AAPL, **query})
    assert answer.status_code == status
    assert answer.json()["error"]


def test_the_sixth_chart_at_a_time_is_refused() -> None:
    slow = ("--history-latency-s", "2")  # long enough for all six to be there, on a busy machine too
    with start_gateway(clock_start="2012-10-01T15:00:00+00:00", extra=slow) as gateway, connect(gateway) as api:
        api.get("/iserver/accounts")
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: api.get("/iserver/marketdata/history", conid=AAPL, bar="1d"), range(6)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 1
    assert "Too many history charts requests" in refused[0].json()["error"]


def snapshot(api: Api, **query: str | int) -> dict[str, Any]:
    (row,) = api.get("/iserver/marketdata/snapshot", **query).json()
    return dict(row)


def test_a_snapshot_is_empty_at_first_then_partial_then_whole_and_remembers_its_fields(
    gateway: RunningGateway, api: Api
) -> None:
    gateway.restart_session()
    api.get("/iserver/accounts")
    fields = "31,84,86,6509,7741,70,88"
    assert snapshot(api, conids=AAPL, fields=fields) == {"conid": AAPL, "conidEx": "265598"}
    second = snapshot(api, conids=AAPL, fields=fields)
    assert (second["31"], second["84"], second["6509"]) == ("671.50", "671.49", "RpB")
    assert not {"86", "7741", "70"} & set(second)
    third = snapshot(api, conids=AAPL)
    assert (third["31"], third["84"], third["86"], third["7741"]) == ("671.50", "671.49", "671.51", "667.105")
    assert third["server_id"] == third["6119"]
    assert third["_updated"] == datetime(2012, 10, 1, 15, tzinfo=UTC).timestamp() * 1000


def test_a_line_can_be_closed_once_and_all_of_them_at_any_time(gateway: RunningGateway, api: Api) -> None:
    gateway.restart_session()
    api.get("/iserver/accounts")
    api.get("/iserver/marketdata/snapshot", conids=AAPL, fields="31")
    assert api.post("/iserver/marketdata/unsubscribe", {"conid": AAPL}).json() == {"success": True}
    again = api.post("/iserver/marketdata/unsubscribe", {"conid": AAPL})
    assert (again.status_code, again.json()) == (500, {"error": "unknown"})
    assert api.get("/iserver/marketdata/unsubscribeall").json() == {"unsubscribed": True}
    assert snapshot(api, conids=AAPL, fields="31") == {"conid": AAPL, "conidEx": "265598"}


def test_a_snapshot_takes_a_hundred_contracts_and_fifty_fields(api: Api) -> None:
    hundred = ",".join(str(AAPL + i) for i in range(100))
    assert api.get("/iserver/marketdata/snapshot", conids=hundred, fields="31").status_code == 200
    assert api.get("/iserver/marketdata/snapshot", conids=f"{hundred},1", fields="31").status_code == 400
    fifty = ",".join(str(i) for i in range(50))
    assert api.get("/iserver/marketdata/snapshot", conids=AAPL, fields=fifty).status_code == 200
    assert api.get("/iserver/marketdata/snapshot", conids=AAPL, fields=f"{fifty},50").status_code == 400


def test_fields_of_position_and_past_come_when_they_are_asked_for(gateway: RunningGateway, api: Api) -> None:
    gateway.restart_session()
    api.get("/iserver/accounts")
    gateway.move_position(AAPL, 10, price=600)
    for _ in range(3):
        row = snapshot(api, conids=AAPL, fields="73,74,76,75,7282,7284,7293,7294,7308,87")
    assert (row["73"], row["74"], row["76"], row["75"]) == ("6715.00", "600.00", "10", "715.00")
    # High and low of the year to 28 September 2012, as the exchange published them.
    assert (row["7293"], row["7294"]) == ("705.07", "354.24")
    assert row["7282"].endswith("M")
    assert float(row["7284"].rstrip("%")) > 5
    assert "7308" not in row
    assert row["87"] == "0"
    gateway.move_position(AAPL, -10, price=600)


def test_a_symbol_is_one_us_stock_beside_others(api: Api) -> None:
    answer = api.get("/trsrv/stocks", symbols="AAPL,aapl,NOPE").json()
    us = [c["conid"] for company in answer["AAPL"] for c in company["contracts"] if c["isUS"]]
    assert us == [AAPL]
    assert (answer["aapl"], answer["NOPE"]) == ([], [])
    found = api.get("/iserver/secdef/search", symbol="AAPL").json()
    assert found[0]["conid"] == "265598"
    assert api.post("/iserver/secdef/search", {"symbol": "apple", "name": True}).json()[0]["symbol"] == "AAPL"
    assert api.get("/iserver/secdef/search", symbol="NOPE").json() == []


def test_contracts_have_definitions_and_rules(api: Api) -> None:
    (definition,) = api.get("/trsrv/secdef", conids="265598,5").json()["secdef"]
    assert (definition["ticker"], definition["strike"]) == ("AAPL", "0")
    assert api.get(f"/iserver/contract/{AAPL}/info").json()["con_id"] == AAPL
    both = api.get(f"/iserver/contract/{AAPL}/info-and-rules").json()
    assert both["rules"] == api.post("/iserver/contract/rules", {"conid": AAPL, "isBuy": True}).json()
    assert both["rules"]["increment"] == 0.01
    assert api.get("/iserver/contract/5/info").status_code == 500


def test_the_schedule_tells_coming_sessions(api: Api) -> None:
    schedules = api.get("/contract/trading-schedule", conid=AAPL).json()["schedules"]
    (hours,) = schedules["20121001"]["liquid_hours"]
    assert hours["opening"] == int(datetime(2012, 10, 1, 13, 30, tzinfo=UTC).timestamp())
    assert "20121006" not in schedules

"""The admin port: its token, its clock, and what people do at the broker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from ibkr_assets_tests.gateway import RunningGateway, gateway_process
from ibkr_assets_tests.simulator.clients import AAPL, IBM, Api, connect

__all__ = ["gateway_process"]


@pytest.fixture
def api(gateway_process: RunningGateway) -> Iterator[Api]:
    with connect(gateway_process) as client:
        client.post("/iserver/questions/suppress", {"messageIds": ["o354"]})
        yield client


def test_the_token_is_wanted_everywhere_but_for_the_clock(gateway_process: RunningGateway) -> None:
    url = gateway_process.admin_url
    for headers in ({}, {"X-Admin-Token": "wrong"}, {"Authorization": "Bearer wrong"}):
        assert httpx.get(f"{url}/admin/ledger", headers=headers, trust_env=False).status_code == 401
    given = {"X-Admin-Token": gateway_process.token}
    assert httpx.get(f"{url}/admin/ledger", headers=given, trust_env=False).status_code == 200
    clock = httpx.get(gateway_process.clock_url, trust_env=False)
    assert datetime.fromisoformat(clock.json()["now"]).tzinfo is not None
    assert httpx.get(f"{gateway_process.api_url}/admin/ledger", headers=given, trust_env=False).status_code == 404


def test_the_clock_steps_runs_and_never_goes_back(gateway_process: RunningGateway) -> None:
    before = gateway_process.now()
    assert gateway_process.now() == before
    assert (gateway_process.step_clock(60) - before).total_seconds() == 60
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        gateway_process.set_clock(before)
    for body in ({"set": "tomorrow"}, {"set": "2012-10-01T14:00:00"}, {"stepp": 1}, {"speed": -1}):
        with pytest.raises(httpx.HTTPStatusError, match="400"):
            gateway_process.admin("POST", "/admin/clock", body)
    gateway_process.run_clock(1000)
    first = gateway_process.now()
    second = gateway_process.now()
    gateway_process.run_clock(0)
    assert before < first < second


def test_what_the_clock_passes_happens_in_order(gateway_process: RunningGateway, api: Api) -> None:
    api.place_through(cOID="order-a", tif="GTC", price=640.0)
    api.place_through(cOID="order-b", tif="GTC", price=620.0)
    gateway_process.set_clock(datetime(2012, 10, 20, tzinfo=UTC))
    fills = [row for row in gateway_process.ledger("fill") if str(row["coid"]).startswith("order-")]
    # The tape: AAPL's low was 635.85 on 2012-10-08, and 623.55 on the 12th; it opened at 635.37 on the 9th.
    assert [row["t_virtual"] for row in fills] == sorted(row["t_virtual"] for row in fills)
    assert [row["coid"] for row in fills] == ["order-a", "order-b"]
    rows = gateway_process.ledger()
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    fields = "seq t_virtual t_mono event coid order_id account conid side qty price exec_id peer_port"
    assert list(rows[0]) == fields.split()


def test_people_trade_bust_and_move_shares(gateway_process: RunningGateway, api: Api) -> None:
    api.place_through(cOID="by-hand", tif="GTC", price=500.0, quantity=7)
    first = gateway_process.fill(coid="by-hand", quantity=3, price=499.5)
    gateway_process.fill(conid=IBM, side="BUY", quantity=2, price=200)
    trades = {trade["execution_id"]: trade for trade in api.trades()}
    assert (trades[first]["order_ref"], trades[first]["price"]) == ("by-hand", "499.50")
    human = next(trade for trade in trades.values() if trade["conid"] == IBM)
    assert "order_ref" not in human
    assert human["order_id"] not in {row["order_id"] for row in gateway_process.ledger("accept")}
    gateway_process.bust(first, price=499)
    revisions = [t["execution_id"] for t in api.trades() if t.get("order_ref") == "by-hand"]
    assert revisions == [first[:-2] + "02"]
    gateway_process.bust(revisions[0])
    assert [t for t in api.trades() if t.get("order_ref") == "by-hand"] == []
    gateway_process.move_position(IBM, -12)
    (held,) = api.get(f"/portfolio/{api.account}/position/{IBM}").json()
    assert held["position"] == -10
    assert len(gateway_process.ledger("bust")) == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/admin/fill", {"coid": "nobody"}),
        ("/admin/fill", {"conid": AAPL, "side": "HOLD", "quantity": 1}),
        ("/admin/fill", {"conid": 1, "side": "BUY", "quantity": 1}),
        ("/admin/bust", {"execution_id": "x"}),
        ("/admin/position", {"conid": AAPL, "quantity": 0}),
        ("/admin/session", {"state": "happy"}),
        ("/admin/pacing", {"pace": 0}),
    ],
)
def test_nonsense_is_refused(gateway_process: RunningGateway, path: str, body: dict[str, object]) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        gateway_process.admin("POST", path, body)


def test_the_wire_log_has_orders_in_full_and_no_cookies(gateway_process: RunningGateway, api: Api) -> None:
    api.http.get("/tickle", headers={"Cookie": "api=secret"})
    api.place(cOID="logged", tif="GTC", price=400.0)
    log = gateway_process.wirelog()
    row = next(row for row in reversed(log) if row["route"] == "submit")
    assert "logged" in row["body"]
    assert row["status"] == 200
    assert row["peer_port"] > 0
    assert "secret" not in str(log)
    assert all(row["body"] is None for row in log if row["route"] == "tickle")

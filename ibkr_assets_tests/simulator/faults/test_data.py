"""Faults of market data on the wire: the answer as its bytes say it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, Api, connect

EVENING = "2012-10-01T20:30:00+00:00"
FIELDS = "31,84,86,6509"


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with start_gateway(clock_start=EVENING) as running:
        yield running


@pytest.fixture
def api(gateway: RunningGateway) -> Iterator[Api]:
    with connect(gateway) as client:
        snapshot(client)
        yield client
    for fault in gateway.admin("GET", "/admin/fault"):
        gateway.disarm_fault(fault["id"])


def snapshot(api: Api) -> dict[str, Any]:
    (row,) = api.get("/iserver/marketdata/snapshot", conids=AAPL, fields=FIELDS).json()
    return dict(row)


def history(api: Api) -> list[dict[str, Any]]:
    """A week of daily bars; `points` always fits them."""
    body = api.get("/iserver/marketdata/history", conid=AAPL, period="1w", bar="1d").json()
    assert body["points"] == len(body["data"]) - 1
    return list(body["data"])


@pytest.mark.parametrize(
    ("shape", "last"),
    [
        ("commas", '"659.39"'), ("text", '"659.39"'), ("previous_close", '"C659.39"'), ("halted", '"H659.39"'),
        ("thousands", '"0.65939K"'), ("huge", "1e309"), ("huge_text", '"1e309"'), ("minus_zero", "-0.0"),
        ("garbled", '"1,659x"'),
    ],
)  # fmt: skip
def test_f44_writes_the_same_number_in_another_shape(gateway: RunningGateway, api: Api, shape: str, last: str) -> None:
    gateway.arm_fault("F44", shape=shape, fields=["31"])
    answer = api.get("/iserver/marketdata/snapshot", conids=AAPL, fields=FIELDS)
    assert f'"31":{last}' in answer.text
    assert snapshot(api)["31"] == "659.39"


def test_f44_writes_thousands_with_commas_and_ids_as_text(gateway: RunningGateway, api: Api) -> None:
    gateway.arm_fault("F44", shape="commas", fields=["netliquidationvalue"], routes=["ledger"])
    assert api.get(f"/portfolio/{api.account}/ledger").json()["USD"]["netliquidationvalue"] == "100,000"
    gateway.arm_fault("F44", shape="conid_text")
    assert snapshot(api)["conid"] == str(AAPL)


def test_f45_is_bare_old_or_not_available(gateway: RunningGateway, api: Api) -> None:
    now_ms = gateway.now().timestamp() * 1000
    gateway.arm_fault("F45", how="bare")
    assert set(snapshot(api)) == {"conid", "conidEx"}
    gateway.arm_fault("F45", how="old", age_s=3600)
    assert snapshot(api)["_updated"] == now_ms - 3_600_000
    gateway.arm_fault("F45", how="unavailable", availability="D")
    assert snapshot(api)["6509"] == "D"


@pytest.mark.parametrize(
    ("how", "row"),
    [
        ("halted", {"31": "H659.39"}),
        ("zero", {"31": "0", "84": "0", "86": "0"}),
        ("negative", {"31": "-37.60"}),
        ("crossed", {"84": "659.40", "86": "659.38"}),
    ],
)
def test_f46_is_a_price_to_trade_on_by_nobody(gateway: RunningGateway, api: Api, how: str, row: dict[str, str]) -> None:
    gateway.arm_fault("F46", how=how)
    assert snapshot(api).items() >= row.items()


def test_f47_spoils_the_bars_in_each_of_its_ways(gateway: RunningGateway, api: Api) -> None:
    good = history(api)
    seen = {}
    for how in (
        "missing", "duplicate", "contradicting", "out_of_order", "future", "off_grid", "no_session", "partial", "cut",
        "cut_front",
    ):  # fmt: skip
        gateway.arm_fault("F47", how=how, back=2)
        seen[how] = history(api)
    assert seen["missing"] == [*good[:-2], good[-1]]
    assert seen["duplicate"] == [*good[:-2], good[-2], good[-2], good[-1]]
    assert [bar["t"] for bar in seen["contradicting"]] == [bar["t"] for bar in seen["duplicate"]]
    assert seen["contradicting"][-2]["c"] != good[-2]["c"]
    assert seen["out_of_order"] == good[::-1]
    assert seen["future"][-1]["t"] > gateway.now().timestamp() * 1000
    assert seen["off_grid"][-2]["t"] - good[-2]["t"] == 17 * 60_000
    assert datetime.fromtimestamp(seen["no_session"][-2]["t"] / 1000, UTC).strftime("%A") == "Sunday"
    assert (seen["partial"][-1]["v"], len(seen["partial"])) == (0.0, len(good) + 1)
    assert (seen["cut"], seen["cut_front"]) == (good[-2:], good[:-2])
    assert history(api) == good


@pytest.mark.parametrize("factor", [0.5, 2, 10, 0.1])
def test_f48_puts_prices_on_another_level_from_a_day_on(gateway: RunningGateway, api: Api, factor: float) -> None:
    good = history(api)
    gateway.arm_fault("F48", factor=factor, day="2012-09-28")
    for before, after in zip(good, history(api), strict=True):
        is_shifted = before["t"] >= datetime(2012, 9, 28, tzinfo=UTC).timestamp() * 1000
        expected = Decimal(str(before["c"])) * (Decimal(str(factor)) if is_shifted else 1)
        assert Decimal(str(after["c"])) == expected


def test_f49_gives_a_bar_other_values_an_hour_later(gateway: RunningGateway, api: Api) -> None:
    good = history(api)
    later = gateway.now().replace(hour=21)
    gateway.arm_fault("F49", factor=1.001, **{"from": later.isoformat()})
    assert history(api) == good
    gateway.set_clock(later)
    revised = history(api)
    assert revised[:-1] == good[:-1]
    assert revised[-1]["c"] == round(good[-1]["c"] * 1.001, 4)


def test_f51_moves_nothing_after_the_early_close_and_says_so_in_the_schedule(gateway: RunningGateway, api: Api) -> None:
    closes_at = datetime(2012, 10, 2, 17, tzinfo=UTC)
    gateway.arm_fault("F51", closes_at=closes_at.isoformat())
    gateway.set_clock(datetime(2012, 10, 2, 18, tzinfo=UTC))
    assert snapshot(api)["_updated"] == closes_at.timestamp() * 1000
    schedules = api.get("/contract/trading-schedule", conid=AAPL).json()["schedules"]
    assert schedules["20121002"]["liquid_hours"][0]["closing"] == closes_at.timestamp()
    assert schedules["20121003"]["liquid_hours"][0]["closing"] > closes_at.timestamp() + 86_400


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("sql", "drop table"), ("html", "<script>"), ("ansi", "\x1b[2J"), ("rtl", "\u202e"), ("null", "\x00"),
        ("prompt", "Ignore all previous"),
    ],
)  # fmt: skip
def test_f54_puts_hostile_text_where_text_is(gateway: RunningGateway, api: Api, text: str, holds: str) -> None:
    gateway.arm_fault("F54", text=text)
    (message,) = api.place(cOID=f"f54-{text}", price=900.0).json()[0]["message"]
    assert holds in message


def test_f54_can_be_a_megabyte(gateway: RunningGateway, api: Api) -> None:
    gateway.arm_fault("F54", text="long", fields=["contractDesc", "error"])
    answer = api.post("/iserver/contract/rules", {"conid": 1})
    assert len(json.loads(answer.content)["error"]) == 1 << 20

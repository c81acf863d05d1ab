"""Field names and JSON types against recorded answers of the real gateway.

The recordings are not part of the project: they are looked for in IBKR_ASSETS_RECORDED_PAYLOADS, or beside the
repository, and these tests are skipped where there are none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ibkr_assets.simulator.face.routes import API_ROUTES
from ibkr_assets_tests.gateway import start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, Api, connect

_BESIDE = Path(__file__).parents[3] / "shared" / "ibkr" / "payloads"
RECORDINGS = Path(os.environ.get("IBKR_ASSETS_RECORDED_PAYLOADS", _BESIDE))
pytestmark = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="no recorded payloads here")

#: Objects whose keys are values (accounts, days, symbols): one entry of theirs is compared with one of ours.
_BY_VALUE = {"acctProps", "aliases", "schedules", "AAPL"}
#: Fields that are not always there, or of things that are not simulated.
_NOT_COMPARED = {"chartPeriods", "chartAnnotations", "endofbundle"}
#: Recordings that ours cannot be compared with.
_NOT_SHOWN = {
    "order_status_filled_ibkr-conduit": "rewritten by its repository, in names that are on no other recording",
}
#: Fields of ours that no recording of the same path has. The recordings of rules, definitions, snapshots and previews
#: were trimmed; these fields are in IBKR's OpenAPI document, in its own examples, or in other users' recordings.
_MORE = {
    "contract_rules": {".tifTypes", ".incrementRules"},
    "secdef": {".secdef[].incrementRules"},
    "search": {"[].sections[].exchange"},  # recorded with the foreign listing of the same answer
    "snapshot": {"[].87_raw", "[].6119"},
    "modify": {"[].local_order_id"},
    "whatif": {".position", ".warns", ".errors", ".accruedInterest", ".action", ".order_id", ".cqe"},
    # All of them are recorded for the list of positions.
    "position": {
        "[].allExchanges", "[].chineseName", "[].displayRule", "[].group", "[].incrementRules", "[].lastTradingDay",
        "[].sector", "[].sectorGroup", "[].time",
    },
}  # fmt: skip


def recorded(name: str) -> Any:
    body = json.loads((RECORDINGS / name).read_text())["response"]["body"]
    if name.startswith("trsrv_stocks"):
        return {symbol: body[symbol] for symbol in ("AAPL", "GOOG", "MSFT") if symbol in body}
    return body


def differences(theirs: Any, ours: Any, where: str = "") -> list[str]:
    """Keys of a recording that we lack, and values of another JSON type; null fits everything."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = []
        for key, value in theirs.items():
            if key in _NOT_COMPARED:
                continue
            if key in _BY_VALUE and isinstance(value, dict):
                found += differences(_first(value), _first(ours.get(key, {})), f"{where}.{key}")
                continue
            found += differences(value, ours[key], f"{where}.{key}") if key in ours else [f"{where}.{key} is missing"]
        return found
    if isinstance(theirs, list) and isinstance(ours, list):
        return differences(theirs[0], ours[0], f"{where}[]") if theirs and ours else []
    if theirs is None or ours is None or _kind(theirs) == _kind(ours):
        return []
    return [f"{where} is {ours!r}, recorded as {theirs!r}"]


def _first(values: dict[str, Any]) -> Any:
    return next(iter(values.values()), "none at all")


def more(theirs: Any, ours: Any, where: str = "") -> set[str]:
    """Places of ours that a recording does not have."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = {f"{where}.{key}" for key in set(ours) - set(theirs)}
        for key in set(ours) & set(theirs):
            one, other = theirs[key], ours[key]
            if key in _BY_VALUE and isinstance(one, dict):
                one, other = _first(one), _first(other)
            found |= more(one, other, f"{where}.{key}")
        return found
    if isinstance(theirs, list) and isinstance(ours, list) and theirs:
        return {place for row in ours for place in more(theirs[0], row, f"{where}[]")}
    return set()


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[str, Any]]:
    """One round through everything that was recorded, by the recording's name."""
    with start_gateway(clock_start="2012-10-01T13:00:00+00:00") as gateway, connect(gateway) as api:
        found = _before_the_open(api)
        gateway.set_clock("2012-10-01T20:10:00+00:00")
        yield found | _after_the_close(api)


def _before_the_open(api: Api) -> dict[str, Any]:
    account = api.account
    question = api.place(orderType="MKT", price=None, quantity=44, tif="DAY")
    reply = api.reply(question)
    quotes = {"conids": AAPL, "fields": "31,84,86,85,88,87,70,71,82,83,6509"}
    for _ in range(4):  # fields arrive bit by bit
        api.get("/iserver/marketdata/snapshot", **quotes)
    resting = api.place(cOID="a", price=650.5, quantity=1, tif="GTC")
    order_id = resting.json()[0]["order_id"]
    ticket = {"conid": AAPL, "side": "BUY", "orderType": "LMT", "price": 651.0, "quantity": 1, "tif": "GTC"}
    init = {"publish": True, "compete": False}
    return {
        "tickle_2023_ibind": api.post("/tickle").json(),
        "tickle_ibkr-conduit": api.post("/tickle").json(),
        "auth_status_2023_ibind": api.post("/iserver/auth/status").json(),
        "auth_status_ibkr-conduit": api.get("/iserver/auth/status").json(),
        "ssodh_init_ibkr-conduit": api.post("/iserver/auth/ssodh/init", init).json(),
        "iserver_accounts_ibkr-conduit": api.get("/iserver/accounts").json(),
        "switch_account_already_set_ibkr-conduit": api.post("/iserver/account", {"acctId": account}).json(),
        "portfolio_accounts_ibkr-conduit": api.get("/portfolio/accounts").json(),
        "portfolio_accounts_2023_ibind": api.get("/portfolio/accounts").json(),
        "portfolio_meta_ibkr-conduit": api.get(f"/portfolio/{account}/meta").json(),
        "secdef_search_SPY_ibkr-conduit": api.get("/iserver/secdef/search", symbol="AAPL").json(),
        "trsrv_stocks_AAPL_ibkr-conduit": api.get("/trsrv/stocks", symbols="AAPL").json(),
        "trsrv_stocks_11_symbols_2023_ibind": api.get("/trsrv/stocks", symbols="AAPL,GOOG,MSFT").json(),
        "trsrv_futures_ES_ibkr-conduit": api.get("/trsrv/futures", symbols="ES").json(),
        "secdef_strikes_ibkr-conduit": api.get(
            "/iserver/secdef/strikes", conid=AAPL, sectype="OPT", month="JAN13"
        ).json(),
        "trsrv_secdef_SPY_ibkr-conduit": api.get("/trsrv/secdef", conids=AAPL).json(),
        "contract_info_SPY_ibkr-conduit": api.get(f"/iserver/contract/{AAPL}/info").json(),
        "contract_rules_ibkr-conduit": api.post("/iserver/contract/rules", {"conid": AAPL}).json(),
        "trading_schedule_ibkr-conduit": api.get("/contract/trading-schedule", conid=AAPL).json(),
        "history_SPY_1d_1min_ibkr-conduit": _chart(api, "1d"),
        **{f"history_{symbol}_1m_1m_2023_ibind": _chart(api, "1m") for symbol in ("AAPL", "CDN", "CFC", "SAN")},
        "trades_empty_ibkr-conduit": api.get("/iserver/account/trades").json(),
        "questions_suppress_ibkr-conduit": api.post("/iserver/questions/suppress", {"messageIds": ["o163"]}).json(),
        "questions_suppress_reset_ibkr-conduit": api.post("/iserver/questions/suppress/reset").json(),
        "place_order_question_o354_ibkr-conduit": question.json(),
        "reply_submitted_ibkr-conduit": reply.json(),
        "place_order_submitted_ibkr-conduit": resting.json(),
        "snapshot_SPY_ibkr-conduit": api.get("/iserver/marketdata/snapshot", **quotes).json(),
        "live_orders_unprimed_ibkr-conduit": api.get("/iserver/account/orders").json(),
        "live_orders_gtc_2024_ibind": {"orders": [row for row in api.live_orders() if row.get("order_ref")]},
        "order_status_presubmitted_2024_ibind": api.get(f"/iserver/account/order/status/{order_id}").json(),
        "whatif_ibkr-conduit": api.post(f"/iserver/account/{account}/orders/whatif", {"orders": [ticket]}).json(),
        "modify_order_ibkr-conduit": api.post(f"/iserver/account/{account}/order/{order_id}", ticket).json(),
        "cancel_order_conid_minus1_ibkr-conduit": api.cancel(order_id).json(),
        "pnl_partitioned_empty_ibkr-conduit": api.get("/iserver/account/pnl/partitioned").json(),
    }


def _after_the_close(api: Api) -> dict[str, Any]:
    account = api.account
    return {
        "live_orders_filled_ibkr-conduit": {"orders": [r for r in api.live_orders() if r["status"] == "Filled"]},
        "ledger_ibkr-conduit": api.get(f"/portfolio/{account}/ledger").json(),
        "ledger_2023_ibind": api.get(f"/portfolio/{account}/ledger").json(),
        "positions_page0_ibkr-conduit": api.get(f"/portfolio/{account}/positions/0").json(),
        "positions_enriched_2023_ibind": api.get(f"/portfolio/{account}/positions/0").json(),
        "positions_empty_page_ibkr-conduit": api.get(f"/portfolio/{account}/positions/999").json(),
        "position_by_conid_ibkr-conduit": api.get(f"/portfolio/{account}/position/{AAPL}").json(),
        "portfolio2_positions_ibkr-conduit": api.get(f"/portfolio2/{account}/positions").json(),
        "portfolio_allocation_ibkr-conduit": api.get(f"/portfolio/{account}/allocation").json(),
        "md_unsubscribe_ibkr-conduit": api.post("/iserver/marketdata/unsubscribe", {"conid": AAPL}).json(),
        "md_unsubscribeall_ibkr-conduit": api.get("/iserver/marketdata/unsubscribeall").json(),
    }


def _chart(api: Api, bar: str) -> Any:
    return api.get("/iserver/marketdata/history", conid=AAPL, period="1m", bar=bar).json()


def test_every_recorded_field_is_there_with_its_type(answers: dict[str, Any]) -> None:
    found = {name: differences(recorded(f"{name}.json"), ours) for name, ours in answers.items()}
    for live in ("live_orders_gtc_2024_ibind", "live_orders_filled_ibkr-conduit"):
        found[live] = [text for text in found[live] if text != ".snapshot is missing"]
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_ids_and_numbers_wander_as_recorded(answers: dict[str, Any]) -> None:
    assert isinstance(answers["secdef_search_SPY_ibkr-conduit"][0]["conid"], str)
    assert isinstance(answers["portfolio2_positions_ibkr-conduit"][0]["conid"], str)
    assert isinstance(answers["place_order_submitted_ibkr-conduit"][0]["order_id"], str)
    assert isinstance(answers["cancel_order_conid_minus1_ibkr-conduit"]["order_id"], int)
    sparse, full = answers["positions_page0_ibkr-conduit"][0], answers["positions_enriched_2023_ibind"][0]
    assert (sparse["strike"], full["strike"]) == (0.0, "0")
    assert set(sparse) == set(recorded("positions_page0_ibkr-conduit.json")[0])


def _served() -> dict[str, str]:
    """Recordings of 200s on paths that the gateway serves, with the name of the route."""
    names = {}
    for row in json.loads((RECORDINGS / "index.json").read_text())["files"]:
        if row["transport"] == "http" and row["status"] == 200:
            found = API_ROUTES.find(row["method"], row["path"].removeprefix("/v1/api"))
            if not isinstance(found, int):
                names[row["file"].removesuffix(".json")] = found[0]
    return names


def test_every_recording_of_a_served_path_is_compared(answers: dict[str, Any]) -> None:
    served = _served()
    assert len(served) >= 49
    assert set(served) == set(answers) | set(_NOT_SHOWN)


def test_what_no_recording_has_is_accounted_for(answers: dict[str, Any]) -> None:
    unrecorded: dict[str, set[str]] = {}
    for name, route in _served().items():
        if name not in _NOT_SHOWN:
            places = more(recorded(f"{name}.json"), answers[name])
            unrecorded[route] = unrecorded.get(route, places) & places
    assert {route: places for route, places in unrecorded.items() if places} == _MORE

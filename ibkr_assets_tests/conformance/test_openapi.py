"""Every answer of the gateway against IBKR's own OpenAPI document: its status and its shape, for the paths it serves.

Requests are made from the document, valid and invalid ones, some with what exists here in place of made-up ids. What
the document does not say must be said by a recording or by a measured fact; the two tables name which. The document
is not part of the project: it is looked for in IBKR_ASSETS_OPENAPI, or beside the repository.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from ibkr_assets.simulator.face.routes import API_ROUTES
from ibkr_assets_tests.gateway import ACCOUNT, RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, IBM, Api, connect

_BESIDE = Path(__file__).parents[3] / "shared" / "ibkr" / "openapi" / "ibkr-web-api-openapi-2.28.0.json"
DOCUMENT = Path(os.environ.get("IBKR_ASSETS_OPENAPI", _BESIDE))
pytestmark = pytest.mark.skipif(not DOCUMENT.is_file(), reason="IBKR's OpenAPI document is not here")

_PAYLOADS = Path(__file__).parents[3] / "shared" / "ibkr" / "payloads"
RECORDINGS = Path(os.environ.get("IBKR_ASSETS_RECORDED_PAYLOADS", _PAYLOADS))
EXAMPLES = 15

EXAMPLE = "the document's own example"
_BAD = "a request that cannot be understood: 400 with `error` and `statusCode`, as on the paths that do list a 400"
_ACCOUNT = "`accountId is not valid`, 400 on the sibling paths' list, and what users report of this one"
#: Statuses that the document does not list for a path: operation, status, what justifies it.
STATUSES = [
    ("GET /contract/trading-schedule", 400, _BAD),
    ("POST /iserver/account", 400, "no `acctId` in the body: 400 on the wire"),
    ("GET /iserver/account/trades", 400, _BAD),
    ("POST /iserver/account/{accountId}/orders", 400, "the malformed orders that IBKR answers with 400"),
    ("POST /iserver/contract/rules", 400, _BAD),
    ("GET /iserver/contract/{conid}/algos", 400, _BAD),
    ("GET /iserver/contract/{conid}/info", 400, _BAD),
    ("GET /iserver/contract/{conid}/info-and-rules", 400, _BAD),
    ("POST /iserver/notification", 400, _BAD),
    ("POST /iserver/reply/{replyId}", 400, "`reply id not found`: 400 in users' reports"),
    ("GET /portfolio/{accountId}/ledger", 400, _ACCOUNT),
    ("GET /portfolio/{accountId}/meta", 400, _ACCOUNT),
    ("GET /portfolio/{accountId}/summary", 400, _ACCOUNT),
    ("GET /trsrv/all-conids", 400, _BAD),
    ("GET /trsrv/futures", 400, _BAD),
]
#: Values that are not of the documented type: operation, place in the answer, the recording that has the same.
SHAPES = [
    ("GET /iserver/account/orders", "orders/*/conid", "live_orders_gtc_2024_ibind.json"),
    ("GET /iserver/account/orders", "orders/*/*Quantity", "live_orders_gtc_2024_ibind.json"),
    ("GET /iserver/account/orders", "orders/*/totalSize", "live_orders_gtc_2024_ibind.json"),
    ("GET /iserver/account/orders", "orders/*/lastExecutionTime_r", "live_orders_gtc_2024_ibind.json"),
    ("POST /iserver/account/{accountId}/orders/whatif", "error", "whatif_ibkr-conduit.json"),
    ("POST /iserver/account/{accountId}/orders/whatif", "warn", "nothing to warn of; `error` is recorded as null"),
    ("POST /iserver/contract/rules", "limitPrice", "contract_rules_ibkr-conduit.json"),
    ("POST /iserver/contract/rules", "increment", "contract_rules_ibkr-conduit.json"),
    ("POST /iserver/contract/rules", "incrementRules/*/increment", EXAMPLE),
    ("GET /iserver/contract/{conid}/info", "*", "contract_info_SPY_ibkr-conduit.json"),
    ("GET /iserver/contract/{conid}/info-and-rules", "rules/limitPrice", EXAMPLE),
    ("GET /iserver/contract/{conid}/info-and-rules", "*", EXAMPLE),
    ("POST /iserver/marketdata/unsubscribe", "success", "md_unsubscribe_ibkr-conduit.json"),
    ("GET /iserver/marketdata/unsubscribeall", "unsubscribed", "md_unsubscribeall_ibkr-conduit.json"),
    ("GET /iserver/secdef/info", "right", EXAMPLE),
    ("GET /portfolio/accounts", "*/businessType", "portfolio_accounts_ibkr-conduit.json"),
    ("GET /portfolio/subaccounts", "*/businessType", "portfolio_accounts_ibkr-conduit.json"),
    ("GET /portfolio/{accountId}/meta", "businessType", "portfolio_meta_ibkr-conduit.json"),
    ("GET /portfolio/positions/{conid}", ACCOUNT, EXAMPLE),
    ("GET /portfolio/{accountId}/positions/{pageId}", "*/multiplier", "positions_page0_ibkr-conduit.json"),
    ("GET /portfolio/{accountId}/positions/{pageId}", "*/strike", "positions_page0_ibkr-conduit.json"),
    ("GET /portfolio/{accountId}/positions/{pageId}", "*", "positions_enriched_2023_ibind.json"),
    ("GET /portfolio/{accountid}/position/{conid}", "*", "positions_enriched_2023_ibind.json"),
    ("GET /portfolio/{accountId}/summary", "*", EXAMPLE),
    ("GET /trsrv/stocks", "*/chineseName", "trsrv_stocks_11_symbols_2023_ibind.json"),
    ("GET /iserver/account/order/status/{orderId}", "*", "order_status_presubmitted_2024_ibind.json"),
]


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with start_gateway(clock_start="2012-10-01T15:00:00+00:00", pace=1e6) as running:
        yield running


@pytest.fixture(scope="module")
def api(gateway: RunningGateway) -> Iterator[Api]:
    """Shares are held, one order rests, and everything that is empty at first was read once."""
    with connect(gateway) as client:
        gateway.move_position(AAPL, 10)
        client.place_through(cOID="openapi-rests", tif="GTC", price=600.0)
        yield client


def _begin_again(gateway: RunningGateway, api: Api) -> None:
    """Give back what a request may have taken away."""
    gateway.set_session("ok")
    for path in ("/iserver/accounts", "/portfolio/accounts", "/iserver/account/orders", "/iserver/account/trades"):
        api.get(path)
    for _ in range(3):
        api.get("/iserver/marketdata/snapshot", conids=AAPL, fields="31,84,86")
    api.get("/iserver/account/pnl/partitioned")


def _document() -> Any:
    import schemathesis

    return schemathesis.openapi.from_dict(json.loads(DOCUMENT.read_text()))


def operations() -> list[Any]:
    """The documented operations that the gateway serves."""
    found = [result.ok() for result in _document().get_all_operations()]
    served = [operation for operation in found if not isinstance(_route(operation), int)]
    assert len(served) > 50
    return served


def _route(operation: Any) -> Any:
    return API_ROUTES.find(operation.method.upper(), re.sub(r"\{[^}]*\}", "X", operation.path))


def _known(api: Api) -> dict[str, Any]:
    """Something that exists here, by the name of a parameter in small letters."""
    resting = next((str(row["orderId"]) for row in api.live_orders() if row["status"] != "Filled"), "1")
    return {
        "accountid": ACCOUNT, "acctid": ACCOUNT, "acctids": [ACCOUNT], "conid": str(AAPL), "conids": f"{AAPL},{IBM}",
        "orderid": resting, "symbol": "AAPL", "symbols": "AAPL,IBM", "pageid": "0", "bar": "1d", "period": "1m",
        "exchange": "NASDAQ", "fields": "31,84", "assetclass": "STK", "sectype": "STK", "days": "3",
    }  # fmt: skip


#: Bodies and queries that mean something, so that every path answers 200 at least once.
MEANT: dict[str, list[dict[str, Any]]] = {
    "switch_account": [{"acctId": ACCOUNT}],
    "init": [{"publish": True, "compete": False}],
    "contract_rules": [{"conid": AAPL, "isBuy": True}],
    "search": [{"symbol": "AAPL"}],
    "unsubscribe": [{"conid": AAPL}],
    "suppress": [{"messageIds": ["o163", "o354"]}],
    "reply": [{"confirmed": True}],
    "scanner_run": [{"instrument": "STK", "location": "STK.US.MAJOR", "type": "TOP_PERC_GAIN", "filter": []}],
    "pa_performance": [{"acctIds": [ACCOUNT], "period": "7D"}],
    "pa_allperiods": [{"acctIds": [ACCOUNT]}],
    "pa_transactions": [{"acctIds": [ACCOUNT], "conids": [AAPL], "currency": "USD", "days": 5}],
    "submit": [
        {"orders": [{"acctId": ACCOUNT, "conid": AAPL, "orderType": "LMT", "price": price, "side": "BUY", "tif": "GTC",
                     "quantity": quantity}]}
        for price, quantity in ((660.0, 1), (300.0, 1), (660.0, 1000), (660.005, 1))
    ],
    "whatif": [
        {"orders": [{"conid": AAPL, "orderType": "LMT", "price": 660.0, "side": "BUY", "tif": "GTC", "quantity": 1}]}
    ],
    "modify": [{"conid": AAPL, "orderType": "LMT", "price": 610.0, "side": "BUY", "tif": "GTC", "quantity": 10}],
}  # fmt: skip


def test_every_answer_is_documented_or_recorded(gateway: RunningGateway, api: Api) -> None:
    found: dict[tuple[str, str, str], str] = {}
    answered: set[str] = set()
    served = operations()
    for operation in served:
        name = _route(operation)[0]
        path = f"{operation.method.upper()} {operation.path}"
        _begin_again(gateway, api)

        def judge(answer: httpx.Response, operation: Any = operation, path: str = path) -> None:
            if answer.status_code == 200:
                answered.add(path)
            for kind, where, what in _differences(operation, answer):
                found.setdefault((path, kind, where), f"{what}: {answer.request.url} {answer.text[:300]}")

        known = _known(api)
        if name == "reply":
            known["replyid"] = api.place(cOID=None, price=300.0, tif="GTC").json()[0]["id"]
        bodies = [_answer_to_a_prompt(gateway, api)] if name == "notification" else MEANT.get(name, [{}])
        _ask_what_is_meant(operation, name, api, known, bodies, judge)
        _ask_anything(operation, api, known, judge)
    recorded = {row: places for row in SHAPES if (places := _places(row[2], served, row[0])) is not None}
    assert {key: text for key, text in found.items() if _justification(*key, recorded) is None} == {}
    assert {f"{o.method.upper()} {o.path}" for o in served} - answered == set()
    used = {_justification(*key, recorded) for key in found}
    assert [row for row in (*STATUSES, *SHAPES) if row not in used] == []


def _answer_to_a_prompt(gateway: RunningGateway, api: Api) -> dict[str, Any]:
    """What answers an order that the gateway has just handed back."""
    gateway.admin("POST", "/admin/venue", {"asked": ["p12"]})
    prompt = api.place(cOID=None, price=665.0, tif="GTC").json()
    gateway.admin("POST", "/admin/venue", {"asked": []})
    return {"orderId": prompt["orderId"], "reqId": prompt["reqId"], "text": prompt["options"][0]}


def _ask_what_is_meant(
    operation: Any,
    name: str,
    api: Api,
    known: dict[str, Any],
    bodies: list[dict[str, Any]],
    judge: Callable[[httpx.Response], None],
) -> None:
    path = re.sub(r"\{([^}]*)\}", lambda part: str(known.get(part[1].lower(), "0")), operation.path)
    query = {p.name: known[p.name.lower()] for p in operation.query if p.name.lower() in known}
    for body in bodies:
        if operation.method.upper() == "GET":
            judge(api.http.get(path, params=query | (body if name == "search" else {})))
        else:
            judge(api.http.request(operation.method.upper(), path, json=body))


def _ask_anything(operation: Any, api: Api, known: dict[str, Any], judge: Callable[[httpx.Response], None]) -> None:
    @seed(20121001)
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy())
        parts = dict(case.path_parameters or {})
        for name in parts:
            if name.lower() in known and data.draw(st.integers(0, 3)):
                parts[name] = known[name.lower()]
        case.path_parameters = parts
        sent = case.as_transport_kwargs(base_url=str(api.http.base_url).rstrip("/"))
        judge(
            api.http.request(
                sent["method"], sent["url"], params=sent.get("params"), content=_body(sent),
                headers={"content-type": "application/json"},
            )
        )  # fmt: skip

    ask()


def _body(sent: dict[str, Any]) -> bytes | None:
    if sent.get("json") is not None:
        return json.dumps(sent["json"]).encode()
    data = sent.get("data")
    return data.encode() if isinstance(data, str) else data


def _differences(operation: Any, answer: httpx.Response) -> Iterator[tuple[str, str, str]]:
    """Kind, place and text of everything in an answer that the document does not say."""
    documented = operation.responses.find_by_status_code(answer.status_code)
    if answer.headers.get("content-type", "").startswith("text/plain"):
        yield "crash", str(answer.status_code), "no handler's answer"
    if documented is None:
        yield "status", str(answer.status_code), "status"
        return
    if answer.status_code == 200:
        yield from (("shape", *one) for one in _misshapen(operation, answer.json()))


def _misshapen(operation: Any, body: Any) -> Iterator[tuple[str, str]]:
    """Places in a 200's body that are not as documented, and what is wrong there."""
    import jsonschema_rs

    schema = operation.responses.find_by_status_code(200).get_schema("application/json").schema
    if schema is None:
        return
    for error in jsonschema_rs.validator_for(_any_of(schema)).iter_errors(body):
        where = "/".join("*" if isinstance(part, int) else str(part) for part in error.instance_path)
        yield where, str(error.message)[:120]


def _any_of(schema: Any) -> Any:
    """The document's alternatives overlap, so that IBKR's own answers are often several of them at a time."""
    if isinstance(schema, dict):
        if len(schema.get("oneOf", [])) == 1:
            schema = {**{k: v for k, v in schema.items() if k != "oneOf"}, **schema["oneOf"][0]}
        return {"anyOf" if key == "oneOf" else key: _any_of(value) for key, value in schema.items()}
    return [_any_of(value) for value in schema] if isinstance(schema, list) else schema


def _justification(
    path: str, kind: str, where: str, recorded: dict[tuple[str, str, str], set[str]]
) -> tuple[str, Any, str] | None:
    """The row of a table that allows this. A row for any place allows those where its source differs, no others."""
    if kind == "status":
        return next((row for row in STATUSES if row[0] == path and str(row[1]) == where), None)
    for row in SHAPES if kind == "shape" else ():
        is_there = row not in recorded or row[1] != "*" or any(where.endswith(place) for place in recorded[row])
        if row[0] == path and fnmatch(where, row[1]) and is_there:
            return row
    return None


def _places(source: str, served: list[Any], path: str) -> set[str] | None:
    """Where a recording, or an example of the document, is not as documented; None where it is not here."""
    by_path = {f"{operation.method.upper()} {operation.path}": operation for operation in served}
    if source == EXAMPLE:
        return {where for body in _examples(path) for where, _ in _misshapen(by_path[path], body)}
    if not source.endswith(".json") or not RECORDINGS.is_dir():
        return None
    recording = json.loads((RECORDINGS / source).read_text())
    return {where for where, _ in _misshapen(_of_recording(by_path, recording), recording["response"]["body"])}


def test_the_summary_has_the_documented_keys_and_no_others(api: Api) -> None:
    (example,) = _examples("GET /portfolio/{accountId}/summary")
    assert sorted(api.get(f"/portfolio/{ACCOUNT}/summary").json()) == sorted(example)


def test_what_justifies_a_shape_has_it_itself() -> None:
    served = operations()
    for row in SHAPES:
        places = _places(row[2], served, row[0])
        wanted = row[1].replace(ACCOUNT, "DU123456")
        assert places is None or any(fnmatch(where, wanted) for where in places), (row, places)


def _of_recording(by_path: dict[str, Any], recording: dict[str, Any]) -> Any:
    request = recording["request"]
    asked = f"{request['method']} {request['path'].removeprefix('/v1/api')}"
    fitting = [p for p in by_path if re.fullmatch(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(p)), asked)]
    return by_path[min(fitting, key=lambda path: path.count("{"))]


def _examples(path: str) -> Iterator[Any]:
    document = json.loads(DOCUMENT.read_text())

    def resolve(value: Any) -> Any:
        while "$ref" in value:
            found = document
            for part in value["$ref"][2:].split("/"):
                found = found[part]
            value = found
        return value

    method, _, template = path.partition(" ")
    answer = resolve(document["paths"][template][method.lower()]["responses"]["200"])
    for example in answer["content"]["application/json"]["examples"].values():
        yield resolve(example)["value"]

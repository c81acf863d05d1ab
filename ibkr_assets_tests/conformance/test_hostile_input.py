"""Whatever is sent to the API, the gateway answers in its own words: no handler falls over.

An exception that nobody caught becomes a plain-text 500 of the HTTP server; the gateway's own 500s are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ibkr_assets.simulator.face.routes import API_ROUTES
from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, connect

#: Every field and query name that some handler reads, and one that none does.
NAMES = (
    "acctId", "acctIds", "assetClass", "auxPrice", "bar", "cOID", "cashQty", "compete", "conid", "conidex", "conids",
    "confirmed", "currency", "days", "direction", "exchange", "fields", "filters", "force", "instrument", "isBuy",
    "isSingleGroup", "messageIds", "month", "name", "nothing", "orderId", "orderType", "orders", "outsideRTH",
    "outsideRth", "parentId", "period", "price", "publish", "quantity", "reqId", "secType", "sectype", "side", "sort",
    "startTime", "symbol", "symbols", "text", "tif", "ticker", "trailingAmt", "trailingType", "type",
)  # fmt: skip
WORDS = (
    "", "0", "-1", "1e309", "NaN", "null", "true", "9" * 30, "²", "٣", "\x00", "\u202e", "é" * 3, "A" * 5000,
    "'; drop table orders; --", "<script>", "%s%n", "DU1000001", str(AAPL), "1d", "1m", "20121001-20:00:00",
    "99991231-23:59:59", "00010101-00:00:00", "BUY", "LMT", "TRAIL", "DAY", "STK", "MTD", "31,84",
)  # fmt: skip
NUMBERS = (0, -1, 1, AAPL, 2**31, 2**63, 10**40, -(10**40), 0.1, 1e-320, 1e308, -0.0)

values = st.recursive(
    st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=6,
)
order = st.fixed_dictionaries(
    {"conid": st.just(AAPL) | values, "side": st.sampled_from(("BUY", "SELL")) | values},
    optional={name: values for name in NAMES if name not in ("conid", "side")},
)
bodies = (
    st.dictionaries(st.sampled_from(NAMES), values, max_size=5)
    | st.fixed_dictionaries({"orders": st.lists(order, max_size=3)})
    | order
    | values
)
raw_bodies = bodies.map(lambda body: json.dumps(body).encode()) | st.sampled_from(
    (b"", b"{", b"\xff\xfe", b"[" * 200_000, b'{"a":' * 50_000, b"NaN", b'{"price": NaN}', b'{"conid": 1e999}',
     b'{"orders": [{"conid": Infinity}]}', b"1" * 5000, b'"\\ud800"', b'{"symbol": "\\ud800"}')
)  # fmt: skip
segments = st.sampled_from([word for word in WORDS if word] + [str(number) for number in NUMBERS])


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with start_gateway(clock_start="2012-10-01T15:00:00+00:00", pace=1e6) as running:
        yield running


@pytest.fixture(scope="module")
def http(gateway: RunningGateway) -> Iterator[httpx.Client]:
    with connect(gateway) as api:
        api.place_through(cOID="a", tif="GTC", price=600.0)
        api.place_through(cOID="b", tif="DAY", price=680.0)
        yield api.http


def routes() -> list[tuple[str, str]]:
    return [(method, path) for method, path in API_ROUTES.paths() if path not in ("/logout", "/ws")]


@pytest.mark.parametrize(("method", "path"), routes())
def test_every_handler_answers_in_its_own_words(
    http: httpx.Client, gateway: RunningGateway, method: str, path: str
) -> None:
    # What an earlier example took away is given back: a session without accounts would end every other request early.
    gateway.set_session("ok")
    http.get("/iserver/accounts")
    http.get("/portfolio/accounts")

    @settings(
        max_examples=20 if method == "POST" else 10, deadline=None, derandomize=True, database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )  # fmt: skip
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        filled = path
        for name in ("account", "order_id", "conid", "page", "reply_id"):
            known = st.just({"account": "DU1000001", "conid": str(AAPL)}.get(name, "0"))
            filled = filled.replace(f"{{{name}}}", data.draw(known | segments))
        query = data.draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(WORDS), max_size=4))
        body = data.draw(raw_bodies) if method == "POST" else None
        request = http.build_request(method, _quoted(filled), params=query, content=body)
        _check(http.send(request), may_be_empty=path == "/iserver/account/orders")

    ask()


def _quoted(path: str) -> str:
    return "/".join(quote(part, safe="") for part in path.split("/"))


def _check(answer: httpx.Response, *, may_be_empty: bool) -> None:
    assert not answer.headers.get("content-type", "").startswith("text/plain"), answer.text
    assert answer.status_code in (200, 400, 401, 404, 405, 500, 503), answer.text
    if may_be_empty and answer.status_code == 500 and not answer.content:
        return  # IBKR's own answer to a filter it does not know
    value: Any = answer.json()
    if answer.status_code != 200:
        assert isinstance(value["error"], str)

"""A plain HTTP client for the gateway's API, with the few rounds that many tests need."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx

from ibkr_assets_tests.gateway import RunningGateway

AAPL, MSFT, IBM = 265598, 272093, 8314


class Api:
    """Calls below /v1/api; nothing is raised for a status."""

    def __init__(self, http: httpx.Client, account: str) -> None:
        self.http = http
        self.account = account

    def get(self, path: str, **query: str | int) -> httpx.Response:
        return self.http.get(path, params=query)

    def post(self, path: str, body: Any = None) -> httpx.Response:
        return self.http.post(path, json={} if body is None else body)

    def place(self, **fields: Any) -> httpx.Response:
        """An order for 10 AAPL at 680.00 on the open, with these fields changed; None takes a field away."""
        order = {
            "acctId": self.account, "conid": AAPL, "side": "BUY", "orderType": "LMT", "price": 680.0, "quantity": 10,
            "tif": "OPG", **fields,
        }  # fmt: skip
        body = {"orders": [{key: value for key, value in order.items() if value is not None}]}
        return self.post(f"/iserver/account/{self.account}/orders", body)

    def reply(self, question: httpx.Response, *, confirmed: bool = True) -> httpx.Response:
        return self.post(f"/iserver/reply/{question.json()[0]['id']}", {"confirmed": confirmed})

    def place_through(self, **fields: Any) -> str:
        """Place an order, confirm every question, and return its id."""
        answer = self.place(**fields)
        while "message" in answer.json()[0]:
            answer = self.reply(answer)
        return str(answer.json()[0]["order_id"])

    def cancel(self, order_id: str | int) -> httpx.Response:
        return self.http.delete(f"/iserver/account/{self.account}/order/{order_id}")

    def live_orders(self) -> list[dict[str, Any]]:
        """The real list: read until it says that it is one."""
        for _ in range(3):
            answer = self.get("/iserver/account/orders").json()
            if answer["snapshot"]:
                return list(answer["orders"])
        raise AssertionError("the order list was never a snapshot")

    def trades(self) -> list[dict[str, Any]]:
        self.get("/iserver/account/trades")
        return list(self.get("/iserver/account/trades").json())


@contextlib.contextmanager
def connect(gateway: RunningGateway) -> Iterator[Api]:
    """A client that has read the accounts, as every session must, and those of the portfolio."""
    with httpx.Client(base_url=gateway.api_url, timeout=20, trust_env=False) as http:
        api = Api(http, gateway.account)
        api.get("/iserver/accounts")
        api.get("/portfolio/accounts")
        yield api

"""The dashboard's own description of itself, and generated requests against all of it: none breaks the server."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from starlette.testclient import TestClient

from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.dashboard.access import ROUTES, Role

#: Words that say whose absence it is: neither Dagster, nor MLflow, nor any other process runs in these tests.
_AWAY = re.compile(r"(Dagster: no address|MLflow: no server|: has never run)")
_EXAMPLES = 6


def test_the_document_is_for_those_who_are_logged_in_and_names_every_route(shared_browser: Callable[..., TestClient]):
    assert shared_browser().get("/openapi.json").headers["location"].startswith("/login")
    document = shared_browser(Role.VIEWER).get("/openapi.json").json()
    named = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    declared = {(method, path.replace(":path", "")) for method, path in ROUTES if method != "WS"}
    assert named == declared - {("GET", "/openapi.json"), ("GET", "/static")}


def _known(app: FastAPI) -> dict[str, str]:
    with transaction(app.state.sources.database) as cursor:
        row = cursor.execute("select client_order_id, conid from oms.order_intent").fetchone()
    assert row is not None
    return {"order": row["client_order_id"], "conid": str(row["conid"]), "strategy_id": "cross"}


class _Sender:
    """Sends generated requests as somebody who may do everything, and keeps what broke."""

    def __init__(self, app: FastAPI, client: TestClient) -> None:
        self._client = TestClient(app, base_url=str(client.base_url), raise_server_exceptions=False)
        self._client.follow_redirects = False
        self._client.cookies, self._client.headers = client.cookies, client.headers
        self._known = _known(app)
        self.broken: list[str] = []
        self.sent: dict[str, int] = {}

    def send(self, label: str, case: Any) -> None:
        """Every second request names what is there, so that it gets past the first look-up."""
        number = self.sent[label] = self.sent.get(label, 0) + 1
        if number % 2 and case.path_parameters:
            case.path_parameters.update({k: v for k, v in self._known.items() if k in case.path_parameters})
        given_as = case.as_transport_kwargs(base_url=str(self._client.base_url))
        headers = {k: v for k, v in (given_as.get("headers") or {}).items() if k.lower() == "content-type"}
        body = {name: given_as[name] for name in ("params", "data", "json", "files") if given_as.get(name) is not None}
        answer = self._client.request(given_as["method"], given_as["url"], headers=headers, **body)
        if answer.status_code >= 500 and not _AWAY.search(answer.text):
            self.broken.append(f"{label}: {answer.status_code} for {given_as['url']} {body}: {answer.text[-200:]}")


@pytest.mark.slow
def test_no_generated_request_is_a_server_error(held_app: FastAPI, held_browser: Callable[..., TestClient]) -> None:
    sender = _Sender(held_app, held_browser(Role.ARM))
    for result in schemathesis.openapi.from_dict(held_app.openapi()).get_all_operations():
        operation = result.ok()
        if operation.path != "/logout":  # it would end the session of all the others
            _generate(operation, sender)
    assert not sender.broken, "\n".join(sender.broken)
    assert len(sender.sent) > 40


def _generate(operation: Any, sender: _Sender) -> None:
    @settings(
        max_examples=_EXAMPLES, database=None, deadline=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        sender.send(operation.label, case)

    send()

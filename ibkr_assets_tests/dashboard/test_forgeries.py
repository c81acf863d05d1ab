"""Requests that nobody meant, against every route that changes something: all refused, and nothing has changed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from ibkr_assets import bootstrap
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.dashboard.access import ROUTES, Role
from ibkr_assets.dashboard.login import SESSION_S, Sessions
from ibkr_assets_tests.dashboard.conftest import HOST
from ibkr_assets_tests.execution.decided import STRATEGY

SOCKET = HOST.replace("http", "ws", 1) + "/live"
COOKIE = "ibkr-assets-8000"
#: Every route that changes something for somebody who is logged in.
POSTS = sorted(path for (method, path), role in ROUTES.items() if method == "POST" and role is not Role.NOBODY)
FORM = {
    "word": "STOP", "level": "kill", "reason": "a forged request", "key": "a-forged-form", "seen": "1",
    "seen_state": "APPROVED", "seen_filled": "0", "terms": "trade", "name": "enabled", "is_on": "true",
    "unknown_since": "2012-10-01T21:00:00+00:00", "job": "market_data", "partition": "2012-10-01",
}  # fmt: skip


def address(path: str) -> str:
    return re.sub(r"{(\w+)(?::path)?}", "1", path)


def no_cookie(app, client: TestClient) -> None:
    client.cookies.clear()


def a_cookie_that_is_too_old(app, client: TestClient) -> None:
    key = app.state.sessions._signer.secret_keys[0].decode()
    past = Sessions(key, now=lambda: time.time() - SESSION_S - 60)
    session = past.begin("arm", Role.ARM)
    client.cookies.set(COOKIE, past.write(session))
    client.headers["x-csrf-token"] = session.token


def a_cookie_of_a_session_that_ended(app, client: TestClient) -> None:
    session = app.state.sessions.read(client.cookies[COOKIE])
    app.state.sessions.end(session)


def a_cookie_that_somebody_else_signed(app, client: TestClient) -> None:
    theirs = Sessions("another key of at least thirty-two characters")
    session = theirs.begin("arm", Role.ARM)
    client.cookies.set(COOKIE, theirs.write(session))
    client.headers["x-csrf-token"] = session.token


def a_cookie_that_was_changed(app, client: TestClient) -> None:
    value = client.cookies[COOKIE]
    client.cookies.set(COOKIE, value[:9] + ("A" if value[9] != "A" else "B") + value[10:])


def header(**headers: str) -> Callable[[object, TestClient], None]:
    def change(app, client: TestClient) -> None:
        client.headers.update({name.replace("_", "-"): value for name, value in headers.items()})

    return change


def a_lesser_role(app, client: TestClient) -> None:
    session = app.state.sessions.begin("viewer", Role.VIEWER)
    client.cookies.set(COOKIE, app.state.sessions.write(session))
    client.headers["x-csrf-token"] = session.token


def the_token_of_another_session(app, client: TestClient) -> None:
    client.headers["x-csrf-token"] = app.state.sessions.begin("arm", Role.ARM).token


FORGERIES: dict[str, tuple[Callable[[object, TestClient], None], int]] = {
    "no cookie": (no_cookie, 401),
    "a cookie that is too old": (a_cookie_that_is_too_old, 401),
    "a session that ended": (a_cookie_of_a_session_that_ended, 401),
    "a cookie that somebody else signed": (a_cookie_that_somebody_else_signed, 401),
    "a cookie that was changed": (a_cookie_that_was_changed, 401),
    "another site": (header(origin="https://evil.example"), 403),
    "another port": (header(origin="http://127.0.0.1:9999"), 403),
    "no origin that can be named": (header(origin="null"), 403),
    "no origin": (header(origin=""), 403),
    "a request that a browser says comes from another site": (header(sec_fetch_site="cross-site"), 403),
    "a request that a browser says comes from a sibling": (header(sec_fetch_site="same-site"), 403),
    "another host": (header(host="evil.example"), 421),
    "a host that ends like ours": (header(host="127.0.0.1.evil.example:8000"), 421),
    "no token": (header(x_csrf_token=""), 403),
    "the token of another session": (the_token_of_another_session, 403),
}


def traces(app) -> list[int]:
    """How many rows there are wherever a request could have left one."""
    tables = (
        "dash.act",
        "oms.control",
        "oms.recon_request",
        "oms.cancel_request",
        "oms.order_intent",
        "research.strategy",
    )
    with transaction(app.state.sources.database) as cursor:
        return [cursor.execute(f"select count(*) as n from {table}").fetchone()["n"] for table in tables]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_every_post_refuses_it(shared_app, shared_browser, forgery: str) -> None:
    before = traces(shared_app)
    change, expected = FORGERIES[forgery]
    answers = {}
    for path in POSTS:
        client = shared_browser(Role.ARM)
        change(shared_app, client)
        answers[path] = client.post(address(path), data=FORM).status_code
    assert answers == dict.fromkeys(POSTS, expected)
    assert traces(shared_app) == before


def test_a_lesser_role_is_refused_by_every_post_that_takes_more(shared_app, shared_browser) -> None:
    before = traces(shared_app)
    taking_more = [path for path in POSTS if ROUTES["POST", path] > Role.VIEWER]
    for path in taking_more:
        client = shared_browser(Role.ARM)
        a_lesser_role(shared_app, client)
        assert client.post(address(path), data=FORM).status_code == 403, path
    assert len(taking_more) > 10
    assert traces(shared_app) == before


def test_a_key_of_another_act_does_nothing(held_app, held_browser) -> None:
    app, client = held_app, held_browser(Role.OPERATOR)
    assert client.post("/system/reconcile", data={"key": "one-form-only"}).status_code == 303
    before = traces(app)
    replayed = client.post("/orders/q1-x/look", data={"key": "one-form-only"})
    assert replayed.status_code == 409
    assert "load the page again" in replayed.text
    assert client.post("/system/reconcile", data={"key": "one-form-only"}).status_code == 303
    assert traces(app) == before


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/resume", {"reason": "all is well", "seen": "99", "key": "a-stale-form"}),
        ("/orders/{order}/cancel", {"seen_state": "WORKING", "seen_filled": "0", "key": "a-stale-form"}),
        ("/orders/{order}/cancel", {"seen_state": "APPROVED", "seen_filled": "3", "key": "a-stale-form"}),
        ("/strategies/cross/switch", {"name": "enabled", "is_on": "false", "seen": "7", "key": "a-stale-form"}),
    ],
    ids=str,
)
def test_a_page_that_is_stale_is_refused(approved_app, approved_browser, path: str, form: dict[str, str]) -> None:
    bootstrap.strategy_store(approved_app.state.sources.settings).save_strategies([STRATEGY], actor="test")
    with transaction(approved_app.state.sources.database) as cursor:
        order = cursor.execute("select client_order_id from oms.order_intent").fetchone()["client_order_id"]
    before = traces(approved_app)
    answer = approved_browser(Role.ARM).post(path.format(order=order), data=form)
    assert answer.status_code == 409
    assert traces(approved_app)[1:] == before[1:], "only the refused act itself is written down"


@pytest.mark.parametrize("role", [Role.NOBODY, Role.VIEWER])
@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"origin": ""}, {"host": "evil.example"}],
    ids=str,
)
def test_the_socket_is_opened_for_nobody_else(shared_browser, role: Role, headers: dict[str, str]) -> None:
    client = shared_browser(role)
    with (
        pytest.raises(WebSocketDisconnect) as closed,
        client.websocket_connect(SOCKET, headers={"origin": HOST} | headers),
    ):
        pass
    assert closed.value.code == 4403


def test_the_socket_wants_a_session_and_serves_one(shared_app, shared_browser) -> None:
    with pytest.raises(WebSocketDisconnect), shared_browser().websocket_connect(SOCKET, headers={"origin": HOST}):
        pass
    ended = shared_browser(Role.VIEWER)
    a_cookie_of_a_session_that_ended(shared_app, ended)
    with pytest.raises(WebSocketDisconnect), ended.websocket_connect(SOCKET, headers={"origin": HOST}):
        pass
    with shared_browser(Role.VIEWER).websocket_connect(SOCKET, headers={"origin": HOST}) as socket:
        socket.send_text("what a page says is ignored")


def test_reading_never_changes_anything(held_app, held_browser) -> None:
    """Every GET of the table, twice."""
    client = held_browser(Role.ARM)
    before = traces(held_app)
    for method, path in ROUTES:
        if method == "GET" and path != "/static":
            for _ in range(2):
                client.get(address(path))
    assert traces(held_app) == before

"""Who may do what: every route that exists, for every role, against the one table."""

from __future__ import annotations

import re

import pytest

from ibkr_assets.dashboard.access import ROUTES, Role

_EXAMPLES = {
    "token": "x", "conid": "265598", "order": "q1-x", "run_id": "x", "path": "x", "strategy_id": "x", "kind": "sensor",
    "name": "x", "identity": "1", "alert_id": "1",
}  # fmt: skip


def _address(path: str) -> str:
    if path == "/static":
        return "/static/app.css"
    return re.sub(r"{(\w+)(?::path)?}", lambda found: _EXAMPLES[found[1]], path)


def _declared(app) -> set[tuple[str, str]]:
    found = set()
    for route in app.router.routes:
        methods = getattr(route, "methods", None)
        if methods is None:
            is_socket = type(route).__name__ == "APIWebSocketRoute"
            found.add(("WS" if is_socket else "GET", route.path))
        else:
            found |= {(method, route.path) for method in methods - {"HEAD"}}
    return found


def test_the_table_names_every_route_and_no_other(shared_app) -> None:
    assert _declared(shared_app) == set(ROUTES)


@pytest.mark.parametrize(("method", "path"), [key for key in ROUTES if key[0] != "WS"])
def test_a_role_below_is_refused_and_the_role_itself_is_not(shared_browser, method: str, path: str) -> None:
    needed = ROUTES[method, path]
    for role in Role:
        answer = shared_browser(role).request(method, _address(path))
        is_refused = answer.status_code in (401, 403) or answer.headers.get("location", "").startswith("/login?next=")
        if path.startswith("/login") and method == "POST":
            assert answer.status_code == 401  # it is refused for its password, by the page itself
            continue
        if path == "/login/{token}":
            assert answer.status_code == 401
            continue
        assert is_refused == (role < needed), (role, answer.status_code)


def test_a_route_that_nobody_declared_is_shut_for_everybody(app, browser) -> None:
    app.router.add_api_route("/new", lambda: "open", methods=["GET"])
    for role in (Role.VIEWER, Role.ARM):
        assert browser(role).get("/new").status_code == 404


@pytest.mark.parametrize("path", ["/nowhere", "/orders/x/y", "/api"])
def test_an_address_that_is_not_there_tells_a_stranger_nothing(shared_browser, path: str) -> None:
    assert shared_browser().get(path).status_code in (303, 401)
    assert shared_browser(Role.ARM).get(path).status_code == 404

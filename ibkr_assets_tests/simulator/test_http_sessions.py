"""Login session and brokerage session over the wire: what answers when, and how each state is left."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from ibkr_assets_tests.gateway import RunningGateway, gateway_process, start_gateway
from ibkr_assets_tests.simulator.clients import Api, connect

__all__ = ["gateway_process"]


@pytest.fixture
def api(gateway_process: RunningGateway) -> Iterator[Api]:
    gateway_process.restart_session()
    with connect(gateway_process) as client:
        yield client
    gateway_process.set_session("ok")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_tickle_and_status_answer_to_both_methods_and_without_a_body(api: Api, method: str) -> None:
    tickle = api.http.request(method, "/tickle")
    status = api.http.request(method, "/iserver/auth/status")
    assert tickle.json()["iserver"]["authStatus"]["authenticated"] is True
    assert (status.json()["authenticated"], status.json()["established"], status.json()["competing"]) == (
        True,
        True,
        False,
    )


def test_a_lost_brokerage_session_has_no_bridge_but_portfolio_and_contracts_answer(
    gateway_process: RunningGateway, api: Api
) -> None:
    gateway_process.set_session("lost")
    status = api.post("/iserver/auth/status").json()
    assert (status["authenticated"], status["connected"], status["competing"]) == (False, True, False)
    refused = api.get("/iserver/accounts")
    assert (refused.status_code, refused.json()) == (400, {"error": "Bad Request: no bridge", "statusCode": 400})
    assert api.get(f"/portfolio/{api.account}/ledger").status_code == 200
    assert api.get("/trsrv/stocks", symbols="AAPL").status_code == 200
    brought = api.post("/iserver/auth/ssodh/init", {"publish": True, "compete": False}).json()
    assert brought["authenticated"] is True
    assert api.get("/iserver/accounts").status_code == 200


def test_a_competing_session_is_taken_over_only_when_asked(gateway_process: RunningGateway, api: Api) -> None:
    gateway_process.set_session("competing")
    polite = api.post("/iserver/auth/ssodh/init", {"publish": True, "compete": False})
    assert (polite.status_code, polite.json()["authenticated"], polite.json()["competing"]) == (200, False, True)
    assert api.post("/iserver/auth/ssodh/init", {"publish": True, "compete": True}).json()["authenticated"] is True


def test_init_without_publish_fails(api: Api) -> None:
    assert api.post("/iserver/auth/ssodh/init", {"publish": False}).status_code == 500


def test_after_logout_everything_is_401_until_a_person_logs_in(gateway_process: RunningGateway, api: Api) -> None:
    assert api.post("/logout").json() == {"status": True}
    for path in ("/tickle", "/iserver/accounts", "/portfolio/accounts", "/trsrv/stocks", "/iserver/auth/status"):
        assert api.get(path).status_code == 401, path
    assert api.post("/iserver/auth/ssodh/init", {"publish": True, "compete": True}).status_code == 401
    gateway_process.set_session("ok")
    assert api.get("/tickle").status_code == 200


def test_accounts_come_first(gateway_process: RunningGateway, api: Api) -> None:
    gateway_process.restart_session()
    for refused in (api.get("/iserver/account/orders"), api.place(), api.get("/iserver/marketdata/snapshot")):
        assert (refused.status_code, refused.json()["error"]) == (500, "Please query /accounts first")
    api.get("/iserver/accounts")
    assert api.get("/iserver/account/orders").status_code == 200


def test_silence_ends_the_brokerage_session(gateway_process: RunningGateway, api: Api) -> None:
    gateway_process.admin("POST", "/admin/session", {"idle_limit_s": 0.2})
    try:
        time.sleep(0.3)
        assert api.get("/iserver/accounts").status_code == 400
    finally:
        gateway_process.admin("POST", "/admin/session", {"idle_limit_s": 360})


def test_a_restart_gives_another_session_id_and_tickle_tells_it(gateway_process: RunningGateway, api: Api) -> None:
    before = api.get("/tickle").json()["session"]
    after = gateway_process.restart_session()
    assert api.get("/tickle").json()["session"] == after != before


def test_other_calls_of_the_session_answer(api: Api) -> None:
    assert api.get("/sso/validate").json()["RESULT"] is True
    assert api.post("/iserver/reauthenticate").json() == {"message": "triggered"}
    assert api.post("/iserver/account", {"acctId": api.account}).json() == {"success": "Account already set"}
    assert api.post("/iserver/account", {"acctId": "U9"}).status_code == 500
    assert api.post("/iserver/account", {}).status_code == 400
    assert [row["id"] for row in api.get("/portfolio/accounts").json()] == [api.account]


def test_a_disconnected_gateway_says_four_things_and_no_init_helps(gateway_process: RunningGateway, api: Api) -> None:
    gateway_process.set_session("disconnected")
    status = api.post("/iserver/auth/status").json()
    assert {name: status[name] for name in ("authenticated", "connected", "competing")} == {
        "authenticated": False,
        "connected": False,
        "competing": False,
    }
    assert len(status) == 4
    answer = api.post("/iserver/auth/ssodh/init", {"publish": True, "compete": True})
    assert (answer.status_code, answer.json()["authenticated"]) == (200, False)
    gateway_process.restart_session()
    assert api.post("/iserver/auth/status").json()["authenticated"] is True


def test_a_competing_session_says_from_where_and_reauthenticate_does_not_take_it(
    gateway_process: RunningGateway, api: Api
) -> None:
    gateway_process.set_session("competing")
    status = api.post("/iserver/auth/status").json()
    assert (status["authenticated"], status["connected"], status["competing"]) == (False, True, True)
    assert "different IP address" in status["fail"]
    assert api.get("/tickle").json()["collission"] is True
    assert api.post("/iserver/reauthenticate").json() == {"message": "triggered"}
    assert api.post("/iserver/auth/status").json()["competing"] is True


def test_every_call_of_init_is_counted_whatever_came_of_it(gateway_process: RunningGateway, api: Api) -> None:
    before = gateway_process.admin("GET", "/admin/session")["login_attempts"]
    gateway_process.admin("POST", "/admin/session", {"state": "lost", "init_failures": 1})
    failed = api.post("/iserver/auth/ssodh/init", {"publish": True, "compete": False})
    assert (failed.status_code, failed.json()) == (500, {"error": "failed to generate sso dh token"})
    assert api.post("/iserver/auth/ssodh/init", {"publish": True, "compete": False}).json()["authenticated"] is True
    gateway_process.set_session("logged_out")
    assert api.post("/iserver/auth/ssodh/init", {"publish": True, "compete": True}).status_code == 401
    told = gateway_process.admin("GET", "/admin/session")
    assert told["login_attempts"] == before + 3
    assert told["attempts"][-1] == gateway_process.now().isoformat()


def test_the_portfolio_has_accounts_that_come_first_too(gateway_process: RunningGateway, api: Api) -> None:
    gateway_process.restart_session()
    for path in (f"/portfolio/{api.account}/ledger", f"/portfolio2/{api.account}/positions"):
        refused = api.get(path)
        assert (refused.status_code, refused.json()["error"]) == (400, "Please query /portfolio/accounts first")
    api.get("/portfolio/accounts")
    assert api.get(f"/portfolio/{api.account}/ledger").status_code == 200


def test_tickle_tells_how_much_of_the_login_is_left(api: Api) -> None:
    first = api.get("/tickle").json()["ssoExpires"]
    time.sleep(0.02)
    second = api.get("/tickle").json()["ssoExpires"]
    assert 0 < first <= 600_000
    assert second < first or first - second < -50_000  # renewed every minute


def test_a_person_logs_in_by_a_page_without_anything_from_elsewhere(gateway_process: RunningGateway, api: Api) -> None:
    home = gateway_process.api_url.removesuffix("/v1/api") + "/"
    gateway_process.set_session("logged_out")
    page = httpx.get(home, trust_env=False)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "nobody is logged in" in page.text
    assert '<html lang="en">' in page.text
    assert "http" not in page.text.replace("charset", "")
    assert "src=" not in page.text
    assert "Client login succeeds" in httpx.post(home, trust_env=False).text
    assert api.get("/tickle").status_code == 200
    assert "logged in" in httpx.get(home, trust_env=False).text


def test_unknown_paths_slashes_and_lengths(gateway_process: RunningGateway, api: Api) -> None:
    assert api.get("/no/such/path").status_code == 404
    assert api.get("/iserver/accounts/").status_code == 200
    outside = gateway_process.api_url.removesuffix("/v1/api")
    assert httpx.get(outside + "/elsewhere", trust_env=False).status_code == 404
    chunked = api.http.post("/tickle", content=iter([b"{}"]))
    assert chunked.status_code == 411


def test_a_night_of_the_real_gateway_and_the_login_after_it() -> None:
    night = (
        "--nightly-reset", "login", "--maintenance", "--login-life-h", "24", "--auto-login-after-s", "7200",
    )  # fmt: skip
    seen = []
    with start_gateway(clock_start="2012-10-01T20:00:00+00:00", extra=night) as gateway, connect(gateway) as api:
        session = api.get("/tickle").json()["session"]
        for clock in ("03:59", "04:00", "05:00", "05:10", "06:00"):  # New York is four hours behind
            gateway.set_clock(f"2012-10-02T{clock}:00+00:00")
            seen.append((clock, api.get("/tickle").status_code, api.get("/iserver/accounts").status_code))
        assert api.get("/tickle").json()["session"] != session
    assert seen == [
        ("03:59", 200, 200), ("04:00", 401, 401), ("05:00", 503, 503), ("05:10", 401, 401), ("06:00", 200, 200),
    ]  # fmt: skip

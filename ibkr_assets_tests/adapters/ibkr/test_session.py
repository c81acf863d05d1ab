"""Both sessions of the gateway, and reads that bring the second one back."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.domain.errors import (
    BrokerRefusal,
    ConfigurationError,
    LoginRequired,
    Unavailable,
    UnreadableAnswer,
)
from ibkr_assets_tests.adapters.ibkr.raw_server import ACCOUNT, ACCOUNTS, READY, RawServer, http, reset

STATUS = "POST iserver/auth/status"
INIT = "POST iserver/auth/ssodh/init"
PAGE = http(b"<html>Log in</html>", kind="text/html")
AWAY = {**READY, "authenticated": False, "established": False}
COMPETING = {**READY, "authenticated": False, "competing": True}
NO_BRIDGE = http({"error": "Bad Request: no bridge", "statusCode": 400}, status=400)


def test_a_ready_session_is_opened_without_a_login(server: RawServer, session: Session) -> None:
    assert session.open().is_ready
    assert server.count(INIT) == 0
    assert server.count("GET iserver/accounts") == 1


def test_a_brokerage_session_that_is_gone_is_opened_without_taking_it_from_anybody(
    server: RawServer, session: Session
) -> None:
    server.replies[STATUS] = [http(AWAY), http({**READY, "established": False}), http(READY)]
    server.replies[INIT] = http({"passed": True, "authenticated": True, "connected": True, "competing": False})
    assert session.open().is_ready
    (init,) = [r for r in server.requests if r.path.endswith("init")]
    assert init.json == {"publish": True, "compete": False}
    assert [r.path for r in server.requests][-1] == "iserver/accounts"


@pytest.mark.parametrize("reply", [http(status=401), PAGE, http(status=302)], ids=["401", "page", "redirect"])
def test_without_a_login_a_person_is_asked_for(server: RawServer, session: Session, reply: bytes) -> None:
    server.replies[STATUS] = reply
    assert not session.status().is_logged_in
    with pytest.raises(LoginRequired, match="log in to the gateway in a browser"):
        session.open()
    assert server.count(INIT) == 0


def test_a_session_held_elsewhere_is_not_fought_for(server: RawServer, session: Session) -> None:
    server.replies[STATUS] = http(COMPETING)
    with pytest.raises(LoginRequired, match="log it out there"):
        session.open()
    assert server.count(INIT) == 0
    server.replies[STATUS] = http(AWAY)
    server.replies[INIT] = http(COMPETING)
    with pytest.raises(LoginRequired, match="log it out there"):
        session.open()
    assert server.count(INIT) == 1


def test_an_old_gateway_s_status_of_four_keys_is_read(server: RawServer, session: Session) -> None:
    server.replies[STATUS] = http({"authenticated": True, "competing": False, "connected": True, "message": ""})
    assert session.status().is_ready
    server.replies[STATUS] = http({"authenticated": False, "competing": False, "connected": False, "fail": "gone"})
    status = session.status()
    assert status.is_logged_in
    assert not status.is_ready
    assert status.message == "gone"


def test_the_pinned_account_must_be_there_and_is_not_printed(server: RawServer, session: Session) -> None:
    server.replies["GET iserver/accounts"] = http({"accounts": ["DU7654321", "DU7654322"]})
    with pytest.raises(ConfigurationError, match="not among the 2") as caught:
        session.open()
    assert "DU" not in str(caught.value)


def test_the_pinned_account_is_selected_among_several(server: RawServer, session: Session) -> None:
    accounts = {"accounts": ["DU7654321", ACCOUNT], "selectedAccount": "DU7654321"}
    server.replies["GET iserver/accounts"] = http(accounts)
    server.replies["POST iserver/account"] = http({"set": True, "acctId": ACCOUNT})
    session.open()
    assert server.requests[-1].json == {"acctId": ACCOUNT}


def test_a_tickle_keeps_alive_and_tells_the_state(server: RawServer, session: Session) -> None:
    tickle = {"session": "canary", "hmds": {"error": "no bridge"}, "iserver": {"authStatus": READY}}
    server.replies["POST tickle"] = [
        http(tickle),
        http({**tickle, "ssoExpires": 0}),
        http({"session": "s", "iserver": {"tickle": True}}),
        PAGE,
        http({"error": "failed to process request"}),
    ]
    assert session.tickle().is_ready
    assert not session.tickle().is_logged_in
    assert session.tickle().is_ready
    assert not session.tickle().is_logged_in
    with pytest.raises(Unavailable):
        session.tickle()


def test_a_session_s_identity_is_stable_and_not_the_session_itself(server: RawServer, session: Session) -> None:
    first, second = ({"session": s, "iserver": {"authStatus": READY}} for s in ("canary", "other"))
    server.replies["POST tickle"] = [http(first), http(first), http(second)]
    names = [session.identity() for _ in range(3)]
    assert names[0] == names[1] != names[2]
    assert "canary" not in names[0]


def test_a_tickle_names_the_session_and_its_age_is_kept(server: RawServer, session: Session) -> None:
    server.replies["POST tickle"] = [
        http({"session": "canary", "iserver": {"authStatus": READY}}),
        http({"session": "canary", "iserver": {"authStatus": AWAY}}),
    ]
    limiter = session.transport.limiter
    assert limiter.alive_age_s() is None
    name = session.tickle().session_id
    assert limiter.alive_age_s() is not None
    limiter._sleep(60)
    assert session.tickle().session_id == name
    assert limiter.alive_age_s() >= 60  # a session that is not ready is not kept alive


@pytest.mark.parametrize(
    "gone",
    [
        NO_BRIDGE,
        http(b"Init session first", status=400, kind="text/plain"),
        http(status=401),
        PAGE,
        http({"error": "no bridge"}),
    ],
    ids=["no bridge", "init first", "401", "page", "inside a 200"],
)
def test_a_read_opens_the_session_again_and_is_repeated(server: RawServer, session: Session, gone: bytes) -> None:
    server.replies["GET x"] = [gone, http({"ok": 1})]
    server.replies[STATUS] = [http(AWAY), http(READY)]
    server.replies[INIT] = http(READY)
    assert session.read("x") == {"ok": 1}
    assert [r.path for r in server.requests] == [
        "x",
        "iserver/auth/status",
        "iserver/auth/ssodh/init",
        "iserver/auth/status",
        "iserver/accounts",
        "x",
    ]


@pytest.mark.parametrize("status", [400, 500])
def test_a_read_that_wants_the_accounts_first_gets_them(server: RawServer, session: Session, status: int) -> None:
    session.prime()
    server.replies["GET x"] = [http({"error": "Please query /accounts first"}, status=status), http([])]
    assert session.read("x") == []
    assert [r.path for r in server.requests] == ["iserver/accounts", "x", "iserver/accounts", "x"]


PORTFOLIO_FIRST = http({"error": "Please query /portfolio/accounts first"}, status=400)


def test_a_portfolio_that_wants_its_accounts_first_gets_them_and_nothing_is_opened(
    server: RawServer, session: Session
) -> None:
    server.replies["GET portfolio/accounts"] = [
        http([{"id": ACCOUNT, "accountId": ACCOUNT, "currency": currency}]) for currency in ("USD", "CHF")
    ]
    assert session.base_currency() == "USD"
    before = session.openings
    server.replies["GET portfolio2/x"] = [PORTFOLIO_FIRST, http([])]
    assert session.read("portfolio2/x") == []
    assert session.base_currency() == "CHF"
    assert session.openings == before
    assert [r.path for r in server.requests] == [
        "portfolio/accounts", "portfolio2/x", "portfolio/accounts", "portfolio2/x",
    ]  # fmt: skip


def test_a_portfolio_that_goes_on_asking_for_its_accounts_ends_the_read(server: RawServer, session: Session) -> None:
    server.replies["GET portfolio/accounts"] = http([{"id": ACCOUNT, "accountId": ACCOUNT, "currency": "USD"}])
    server.replies["GET x"] = PORTFOLIO_FIRST
    with pytest.raises(Unavailable, match="query /portfolio/accounts first"):
        session.read("x")
    assert server.count("GET portfolio/accounts") == 1
    server.replies["GET portfolio/accounts"] = PORTFOLIO_FIRST
    with pytest.raises(Unavailable, match="query /portfolio/accounts first"):
        session.read("x")


def test_a_session_that_does_not_come_back_ends_the_read(server: RawServer, session: Session) -> None:
    server.replies["GET x"] = NO_BRIDGE
    with pytest.raises(Unavailable, match="brokerage session is away"):
        session.read("x")
    assert server.count(STATUS) == 1
    server.replies["GET y"] = http(status=401)
    with pytest.raises(LoginRequired):
        session.read("y")


def test_threads_that_find_the_session_gone_open_it_once(server: RawServer, session: Session) -> None:
    gate = threading.Barrier(4)
    answers: list[Any] = []

    def work(name: str) -> None:
        gate.wait()
        answers.append(session.read(name))

    for index in range(4):
        server.replies[f"GET x{index}"] = [NO_BRIDGE, http([])]
    server.replies[STATUS] = [http(AWAY), http(READY)]
    server.replies[INIT] = http(READY)
    threads = [threading.Thread(target=work, args=(f"x{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[], [], [], []]
    assert server.count(INIT) == 1


def test_an_error_inside_a_200_is_a_refusal(server: RawServer, session: Session) -> None:
    server.replies["GET x"] = http({"error": f"Alert of {ACCOUNT} not found."})
    with pytest.raises(BrokerRefusal) as caught:
        session.read("x")
    assert (caught.value.text, caught.value.status) == ("Alert of <account> not found.", 200)


@pytest.mark.parametrize(
    ("reply", "kind", "tries"),
    [
        (http({"error": "bad filter"}, status=500), BrokerRefusal, 3),
        (http(status=500), Unavailable, 3),
        (http({"error": "Service Unavailable"}, status=503), Unavailable, 3),
        (reset, Unavailable, 3),
        (http(b"<html>bad gateway", status=502, kind="text/html"), Unavailable, 3),
        (http(), UnreadableAnswer, 3),
        (http({"error": "no permission"}, status=403), BrokerRefusal, 1),
        (http(b"{", status=200), UnreadableAnswer, 1),
        (http(status=404), BrokerRefusal, 1),
    ],
    ids=["500 words", "500 empty", "503", "reset", "502 page", "empty", "403", "cut", "404"],
)
def test_a_failing_read_says_what_it_is(
    server: RawServer, session: Session, reply: Any, kind: type[Exception], tries: int
) -> None:
    server.replies["GET x"] = reply
    with pytest.raises(kind) as caught:
        session.read("x")
    assert type(caught.value) is kind or issubclass(kind, Unavailable)
    assert server.count("GET x") == tries


def test_accounts_are_read_once_by_many_reads(server: RawServer, session: Session) -> None:
    server.replies["GET iserver/accounts"] = http(ACCOUNTS)
    for _ in range(3):
        session.prime()
    assert server.count("GET iserver/accounts") == 1

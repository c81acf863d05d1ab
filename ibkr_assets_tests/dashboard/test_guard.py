"""Requests that somebody else made: other sites, other hosts, other sessions, old cookies. And what answers carry."""

from __future__ import annotations

import pytest

from ibkr_assets.dashboard.access import Role


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""])
@pytest.mark.parametrize("path", ["/", "/login", "/health", "/stop"])
def test_another_host_name_gets_nothing(shared_browser, host: str, path: str) -> None:
    client = shared_browser(Role.ARM)
    client.headers["host"] = host
    assert client.get(path).status_code == 421


@pytest.mark.parametrize("cookie", ["", "x", "WyJhIiwzXQ.x", "a.b.c"])
def test_a_cookie_that_we_did_not_sign_is_nobody(shared_browser, cookie: str) -> None:
    client = shared_browser()
    client.cookies.set("ibkr-assets-8000", cookie)
    assert client.get("/orders").headers["location"] == "/login?next=/orders"


def test_a_session_that_ended_is_nobody_for_every_copy_of_its_cookie(shared_app, shared_browser) -> None:
    client = shared_browser(Role.OPERATOR)
    cookie = client.cookies["ibkr-assets-8000"]
    assert client.post("/logout").headers["location"] == "/login"
    copy = shared_browser()
    copy.cookies.set("ibkr-assets-8000", cookie)
    assert copy.get("/").status_code == 303


def test_every_answer_forbids_scripts_of_others_and_frames(shared_browser) -> None:
    for path in ("/", "/login", "/nowhere", "/static/app.css"):
        headers = shared_browser(Role.VIEWER).get(path).headers
        policy = headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_a_body_without_end_is_refused(shared_browser) -> None:
    answer = shared_browser(Role.ARM).post("/stop", content=b"x" * 300_000)
    assert answer.status_code == 413


def test_a_login_never_leads_to_another_site(shared_browser) -> None:
    for wanted in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
        text = shared_browser().get("/login", params={"next": wanted}).text
        assert "evil" not in text
        assert "javascript" not in text

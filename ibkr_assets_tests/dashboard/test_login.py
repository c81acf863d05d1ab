"""Sessions, passwords and links that work once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ibkr_assets.dashboard.access import Role
from ibkr_assets.dashboard.login import (
    LINK_S,
    SESSION_S,
    TRIES,
    WINDOW_S,
    Passwords,
    Sessions,
    is_link,
    make_hash,
    make_link,
    signing_key,
    use_link,
)
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.sections import DashboardSettings, DashboardUser


class _Time:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_comes_back_from_its_cookie_until_it_is_too_old() -> None:
    time = _Time()
    sessions = Sessions("a key of at least thirty-two characters", now=time)
    session = sessions.begin("ann", Role.OPERATOR)
    cookie = sessions.write(session)
    assert sessions.read(cookie) == session
    time.now += SESSION_S + 1
    assert sessions.read(cookie) is None


def test_a_cookie_of_another_key_is_nobody() -> None:
    ours, theirs = Sessions("a" * 32), Sessions("b" * 32)
    assert ours.read(theirs.write(theirs.begin("ann", Role.ARM))) is None


def test_a_login_is_fresh_for_a_quarter_of_an_hour() -> None:
    session = Sessions("a" * 32, now=lambda: 0.0).begin("ann", Role.ARM)
    assert session.is_fresh(900.0)
    assert not session.is_fresh(900.1)


@pytest.fixture(scope="module")
def user() -> DashboardUser:
    return DashboardUser(name="ann", role="arm", password_hash=make_hash("correct horse battery"))


def test_a_password_lets_in_with_the_role_of_its_user(user: DashboardUser) -> None:
    passwords = Passwords([user])
    assert passwords.check("1.2.3.4", "ann", "correct horse battery") is Role.ARM
    assert passwords.check("1.2.3.4", "ann", "wrong") is None
    assert passwords.check("1.2.3.4", "nobody", "correct horse battery") is None


def test_after_too_many_failures_a_client_and_a_name_wait(user: DashboardUser) -> None:
    time = _Time()
    passwords = Passwords([user], now=time)
    for _ in range(TRIES):
        assert not passwords.is_blocked("1.2.3.4", "ann")
        passwords.check("1.2.3.4", "ann", "wrong")
    assert passwords.is_blocked("1.2.3.4", "bob")
    assert passwords.is_blocked("5.6.7.8", "ann")
    assert not passwords.is_blocked("5.6.7.8", "bob")
    time.now += WINDOW_S + 1
    assert not passwords.is_blocked("1.2.3.4", "ann")


def test_a_short_password_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 12 characters, got 5"):
        make_hash("short")


def test_a_link_lets_in_once_and_only_the_newest_one(tmp_path: Path) -> None:
    old = make_link(tmp_path, Role.VIEWER, now=0.0)
    new = make_link(tmp_path, Role.OPERATOR, now=0.0)
    assert use_link(tmp_path, old, now=1.0) is None
    assert is_link(tmp_path, new, now=1.0)
    assert use_link(tmp_path, new, now=1.0) is Role.OPERATOR
    assert use_link(tmp_path, new, now=1.0) is None


def test_a_link_is_too_old_after_a_quarter_of_an_hour(tmp_path: Path) -> None:
    token = make_link(tmp_path, Role.VIEWER, now=0.0)
    assert use_link(tmp_path, token, now=LINK_S + 1) is None


def test_key_and_link_are_for_their_owner_alone(tmp_path: Path) -> None:
    key = signing_key(tmp_path / "dashboard")
    make_link(tmp_path / "dashboard", Role.VIEWER, now=0.0)
    assert signing_key(tmp_path / "dashboard") == key
    assert {oct(path.stat().st_mode & 0o777) for path in (tmp_path / "dashboard").iterdir()} == {"0o600"}


def test_another_address_than_loopback_needs_a_user() -> None:
    with pytest.raises(ValueError, match=r"host 0\.0\.0\.0 is not loopback, and there is no user"):
        DashboardSettings(host="0.0.0.0")
    assert DashboardSettings(host="::1").host == "::1"


def test_a_link_is_not_used_up_by_looking_at_it(app, browser) -> None:
    import time

    token = make_link(app.state.directory, Role.VIEWER, now=time.time())
    client = browser()
    for _ in range(2):
        assert client.get(f"/login/{token}").status_code == 200
    answer = client.post(f"/login/{token}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert client.get("/orders").status_code == 200
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert "samesite=strict" in answer.headers["set-cookie"].lower()
    assert browser().post(f"/login/{token}").status_code == 401

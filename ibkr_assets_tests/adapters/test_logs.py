"""What a process writes about itself: one form for machines, one for people, and no secret in either."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.adapters.logs import Redactor, configure_logs, secrets_of
from ibkr_assets.settings import load

ACCOUNT, PASSWORD, TOKEN, COOKIE = "DU7654321", "pa55-canary", "tok-canary-0042", "sess-canary-0017"
ORDER = "q1-" + "a" * 26


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """The test run's own logging comes back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def settings():
    return load(
        {
            "IBKR_ASSETS_MODE": "sim", "IBKR_ASSETS_ACCOUNT": ACCOUNT,
            "IBKR_ASSETS_DATABASE_URL": f"postgresql://someone:{PASSWORD}@127.0.0.1:5432/db",
            "IBKR_ASSETS__ALERTS__CHANNELS": json.dumps([{"name": "web", "url": f"json://host/{TOKEN}"}]),
        }
    )  # fmt: skip


def logged(settings, form: str, *, log=lambda logger: logger.warning("hello %s", "there")) -> str:
    stream = io.StringIO()
    configure_logs("submitter", settings, stream=stream, form=form)
    log(logging.getLogger("ibkr_assets.submitter"))
    return stream.getvalue()


def test_a_line_for_machines_is_one_json_object_with_time_process_and_ids(settings) -> None:
    text = logged(settings, "json", log=lambda logger: logger.warning("%s is in doubt\nsecond line", ORDER))
    (line,) = text.splitlines()
    found = json.loads(line)
    assert (found["process"], found["logger"], found["level"]) == ("submitter", "ibkr_assets.submitter", "warning")
    assert found["client_order_id"] == ORDER
    assert found["timestamp"].endswith("Z")
    run = "0a1b2c3d-0000-4000-8000-0123456789ab"
    text = logged(settings, "json", log=lambda logger: logger.info("run %s failed", run, extra={"job": "market_data"}))
    assert (json.loads(text)["run_id"], json.loads(text)["job"]) == (run, "market_data")


def test_a_line_for_people_is_shown_and_not_obeyed(settings) -> None:
    text = logged(settings, "text", log=lambda logger: logger.error("a\x1b[2Jb\nforged line"))
    (line,) = text.splitlines()
    assert line.endswith(r"ERROR   ibkr_assets.submitter a\x1b[2Jb forged line")


@pytest.mark.parametrize("form", ["json", "text"])
def test_secrets_stand_in_no_line_however_they_get_there(settings, form, monkeypatch) -> None:
    monkeypatch.setenv("IBKR_ASSETS_ADMIN_TOKEN", "admin-canary-33")

    def log(logger: logging.Logger) -> None:
        url = settings.database.url.get_secret_value()
        logger.warning("cannot reach %s with account %s", url, ACCOUNT)
        logger.warning("answer: %s", {"Set-Cookie": f"x-sess-uuid={COOKIE}; Path=/", "acct": ACCOUNT})
        logger.warning("sent Cookie: api=%s and Authorization: Bearer %s", COOKIE, COOKIE)
        logger.warning('tickle said {"session":"%s","ssoExpires":1}', COOKIE)
        logger.warning("extra", extra={"cookie": COOKIE, "nested": {"password": COOKIE, "list": [ACCOUNT]}})
        logger.warning("channel json://host/%s and admin-canary-33", TOKEN)
        logger.warning("another account U1234567, DF123456")
        try:
            raise ValueError(f"password={COOKIE} of {url}")
        except ValueError:
            logger.exception("failed")

    text = logged(settings, form, log=log)
    assert len(text) > 500
    for secret in (ACCOUNT, PASSWORD, TOKEN, COOKIE, "admin-canary-33", "U1234567", "DF123456"):
        assert secret not in text, secret
    assert "ValueError" in text
    assert "someone" in text, "what is no secret stays"


def test_settings_tell_all_that_is_secret_in_them(settings) -> None:
    assert {ACCOUNT, PASSWORD, f"json://host/{TOKEN}"} <= set(secrets_of(settings))


@given(text=st.text(max_size=200), secret=st.text(st.characters(categories=["L", "N"]), min_size=4, max_size=20))
def test_a_secret_is_taken_out_of_any_text(text, secret) -> None:
    redacted = Redactor([secret]).text(f"{text}{secret}{text}")
    assert secret not in redacted or secret in "***"


def test_words_that_are_no_secrets_stay() -> None:
    text = (
        "session 2026-11-20 of AAPL: 10 shares at 101.5, order q1-" + "b" * 26 + ", acct-1234567890 at 127.0.0.1:5000"
    )
    assert Redactor([]).text(text) == text


def test_libraries_that_tell_every_request_are_kept_quiet(settings) -> None:
    stream = io.StringIO()
    configure_logs("submitter", settings, stream=stream, form="json", level=logging.DEBUG)
    logging.getLogger("httpx").info("GET https://127.0.0.1/v1/api/portfolio/%s", ACCOUNT)
    assert stream.getvalue() == ""
    assert logging.getLogger().handlers[0].stream is stream
    assert sys.stderr is not stream

"""Every page where nothing is there yet, and what may be done from pages: each act once, and written down."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from pydantic import SecretStr

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.dashboard.access import Role
from ibkr_assets.dashboard.audit import acts
from ibkr_assets.dashboard.login import FRESH_S
from ibkr_assets.execution.kill import kill_file, read_kill_file
from ibkr_assets.sections import DatabaseSettings

PAGES = [
    "/",
    "/positions",
    "/signals",
    "/orders",
    "/runs",
    "/experiments",
    "/backtests",
    "/strategies",
    "/quarantine",
    "/alerts",
    "/system",
    "/stop",
]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_says_what_is_not_there(shared_browser, path: str) -> None:
    answer = shared_browser(Role.ARM).get(path)
    assert answer.status_code == 200
    assert "SIMULATED" in answer.text
    assert "Stop trading" in answer.text
    assert "None" not in answer.text.replace("None.", "").replace("None yet", "").replace("None is open", "").replace(
        "None for", ""
    )


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "No account data yet"),
        ("/positions", "No account data yet"),
        ("/runs", "Dagster: no address"),
        ("/experiments", "MLflow: no server"),
        ("/backtests", "MLflow: no server"),
    ],
)
def test_a_source_that_is_away_leaves_the_page_standing(shared_browser, path: str, words: str) -> None:
    assert words in shared_browser(Role.VIEWER).get(path).text


def test_pages_stand_while_the_database_is_away(app, browser) -> None:
    database = app.state.sources.database
    database.close()
    database.url = "postgresql://127.0.0.1:1/nowhere"
    answer = browser(Role.VIEWER).get("/")
    assert answer.status_code == 200
    assert "database away" in answer.text


def test_stopping_writes_a_control_row_and_the_page_says_so(app, browser) -> None:
    client = browser(Role.OPERATOR)
    answer = client.post("/stop", data={"level": "kill", "word": "stop", "reason": "wrong prices"})
    assert answer.status_code == 303
    page = client.get("/")
    assert "STOPPED" in page.text
    assert "wrong prices" in page.text
    assert "dashboard:operator" in page.text


def test_stopping_without_the_word_stops_nothing(browser) -> None:
    client = browser(Role.OPERATOR)
    answer = client.post("/stop", data={"level": "kill", "word": "go"})
    assert answer.status_code == 400
    assert "word: type STOP" in answer.text
    assert "may trade" in client.get("/").text


def test_stopping_works_by_file_while_the_database_is_away(app, browser, monkeypatch) -> None:
    settings = app.state.sources.settings
    away = DatabaseSettings(url=SecretStr("postgresql://127.0.0.1:1/nowhere"))
    monkeypatch.setattr(
        app.state, "sources", replace(app.state.sources, settings=settings.model_copy(update={"database": away}))
    )
    answer = browser(Role.OPERATOR).post("/stop", data={"level": "kill_cancel", "word": "STOP"})
    assert answer.status_code == 303
    written = read_kill_file(kill_file(settings.data_dir))
    assert written is not None
    assert (written.level, written.actor) == ("kill_cancel", "dashboard:operator")


def test_permission_is_given_back_once_and_for_what_was_shown(app, browser) -> None:
    operator, owner = browser(Role.OPERATOR), browser(Role.ARM)
    operator.post("/stop", data={"level": "kill", "word": "STOP"})
    stale = owner.post("/resume", data={"reason": "checked", "seen": "0", "key": "stale-form"})
    assert stale.status_code == 409
    assert "permission has changed since the page was loaded" in stale.text
    seen = owner.get("/stop").text.partition('name="seen" value="')[2].partition('"')[0]
    form = {"reason": "prices checked", "seen": seen, "key": "this-form"}
    assert owner.post("/resume", data=form).status_code == 303
    assert owner.post("/resume", data=form).status_code == 303
    assert "may trade" in owner.get("/").text
    done = acts(app.state.sources.database, 10)
    assert [(row["action"], row["problem"] is None) for row in done] == [("resume", True), ("resume", False)]


def test_giving_permission_back_takes_a_password_again_after_a_quarter_of_an_hour(app, browser) -> None:
    """And so does closing a position or ending a doubt in earnest: they ask the same."""
    client = browser(Role.ARM)
    client.post("/stop", data={"level": "kill", "word": "STOP"})
    old = replace(app.state.sessions.begin("arm", Role.ARM), since=time.time() - FRESH_S - 60)
    client.cookies.set("ibkr-assets-8000", app.state.sessions.write(old))
    client.headers["x-csrf-token"] = old.token
    page = client.get("/stop").text
    assert "Give permission back</button>" not in page
    answer = client.post("/resume", data={"reason": "prices checked", "seen": "1", "key": "this-form"})
    assert answer.status_code == 400
    assert "log in again" in answer.text
    assert "STOPPED" in client.get("/").text


def test_permission_is_not_given_back_without_a_reason(shared_browser) -> None:
    answer = shared_browser(Role.ARM).post("/resume", data={"reason": " ", "seen": "0", "key": "this-form"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/orders?state=SOLD", "state: Input should be"), ("/orders/nothing", "nothing"),
        ("/api/chart/1", "conid: no bars of 1"),
        ("/strategies/nothing", "strategy: no strategy"),
        ("/strategies/nothing/export", "strategy: no strategy"), ("/signals?before=x", "before:"),
    ],
)  # fmt: skip
def test_bad_input_names_the_field_and_the_value(shared_browser, path: str, words: str) -> None:
    answer = shared_browser(Role.VIEWER).get(path)
    assert answer.status_code == 400
    assert words in answer.text


def test_what_looks_like_markup_is_text(shared_browser) -> None:
    text = shared_browser(Role.VIEWER).get("/orders", params={"strategy": '"><script>alert(1)</script>'}).text
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_open_pages_are_told_of_what_changed_and_of_nothing_else(database: Database) -> None:
    with database.open() as listener, database.open() as writer:
        listener.execute("listen pages")
        writer.execute("insert into oms.account (account_ref) values ('acct-1')")
        raise_one = (
            "insert into oms.alert (account_ref, severity, kind, subject, text, raised_by) "
            "values ('acct-1', 'warning', 'test', 'a', 'text', 'test')"
        )
        settle = "update oms.alert set resolved_at = clock_timestamp() where resolved_at is null"
        for statement, told in ((settle, []), (raise_one, ["alert"]), (settle, ["alert"]), (settle, [])):
            writer.execute(statement)
            assert [note.payload for note in listener.notifies(timeout=0.2)] == told, statement

"""Strategies from the page: written into a form, judged as at the command line, compared, stored once, switched."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
import yaml

from ibkr_assets import bootstrap
from ibkr_assets.dashboard.access import Role
from ibkr_assets.dashboard.audit import acts
from ibkr_assets.ports import StrategyRecord

FITS = StrategyRecord(
    id="fits", version=1, kind="sma_cross", params={"fast": 5, "slow": 20}, symbols=("FB",), bar_size="1d",
    schedule="after_close", sizing="percent:5", risk={}, account=None, is_enabled=False,
)  # fmt: skip
FORM = {
    "id": "mine", "kind": "sma_cross", "params": "fast: 5\nslow: 20", "symbols": "ibm, fb", "bar_size": "1d",
    "schedule": "weekly", "sizing": "percent:4", "risk": "max_order_value_usd: '900'", "account": "",
    "enabled": "true", "seen": "0",
}  # fmt: skip


@pytest.fixture
def store(app):
    return bootstrap.strategy_store(app.state.sources.settings)


def beside(text: str, field: str) -> str:
    """What the page says is wrong with a field, beside it."""
    found = re.search(rf'id="{field}-problem">(.*?)<', text)
    return html.unescape(found[1]) if found else ""


def test_a_strategy_is_written_compared_and_stored_once(store, browser) -> None:
    client = browser(Role.OPERATOR)
    compared = client.post("/strategies/~review", data=FORM)
    assert compared.status_code == 200
    for line in ("+ - id: mine", "+   - IBM", "+   schedule: weekly", "900"):
        assert line in html.unescape(compared.text)
    assert store.strategies() == []
    form = FORM | {"key": "this-form"}
    assert [client.post("/strategies/~save", data=form).headers["location"] for _ in range(2)] == [
        "/strategies/mine"
    ] * 2
    stored = store.strategy("mine")
    assert stored == StrategyRecord(
        id="mine", version=1, kind="sma_cross", params={"fast": 5, "slow": 20}, symbols=("IBM", "FB"), bar_size="1d",
        schedule="weekly", sizing="percent:4", risk={"max_order_value_usd": "900"}, account=None, is_enabled=True,
    )  # fmt: skip
    assert store.history("mine")[0].actor == "dashboard:operator"
    page = client.get("/strategies/mine").text
    assert "sizing: percent:4" in page
    assert "It has not traded." in page


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("id", "a b", "got 'a b'"), ("id", "", "got ''"), ("kind", "luck", "kind 'luck': no such kind"),
        ("params", "fast: 30\nslow: 20", "slow must be greater than fast, got fast 30"),
        ("params", "fast: 5\nluck: 1", "luck"), ("params", "- 5", "expected lines of name: value, got list"),
        ("params", "a: [", "not valid YAML"), ("params", "fast: .nan", "fast"),
        ("params", "5: 1", "expected lines of name"),
        ("params", "a: &x [1]\nb: [*x, *x]", "references"),
        ("symbols", " , ", "at least 1 item"), ("symbols", "IBM ibm", "symbols IBM: more than once"),
        ("sizing", "lots", "sizing 'lots': expected fixed:SHARES"), ("schedule", "hourly", "schedule 'hourly'"),
        ("risk", "max_order_value_usd: 1e9", "is looser than the"), ("risk", "max_luck: 1", "is no limit"),
        ("account", "DU9", "account DU9: this platform trades DU1000001"), ("bar_size", "1min", "daily bars"),
        ("bar_size", "7d", "got '7d'"),
    ],
)  # fmt: skip
def test_what_is_wrong_stands_beside_its_field_and_nothing_is_stored(
    shared_app, shared_browser, field: str, value: str, words: str
) -> None:
    client = shared_browser(Role.OPERATOR)
    for path in ("/strategies/~review", "/strategies/~save"):
        answer = client.post(path, data=FORM | {field: value, "key": "this-form"})
        assert answer.status_code == 400
        assert words in beside(answer.text, field)
        assert 'value="percent:4"' in answer.text or field == "sizing"  # what else was typed is there still
    assert bootstrap.strategy_store(shared_app.state.sources.settings).strategies() == []


def test_every_field_that_is_wrong_is_told_at_once(shared_browser) -> None:
    wrong = FORM | {"params": "fast: 0", "sizing": "lots", "symbols": ""}
    text = shared_browser(Role.OPERATOR).post("/strategies/~review", data=wrong).text
    assert "2 of the fields are not right" in text
    assert beside(text, "sizing")
    assert beside(text, "symbols")


def test_a_change_shows_both_sides_and_is_refused_for_another_version_than_was_seen(store, browser) -> None:
    store.save_strategies([FITS], actor="test")
    client = browser(Role.OPERATOR)
    opened = client.get("/strategies/fits/edit").text
    assert 'name="seen" value="1"' in opened
    form = FORM | {"id": "fits", "symbols": "FB", "risk": "", "params": "fast: 6\nslow: 20", "seen": "1"}
    compared = html.unescape(client.post("/strategies/~review", data=form).text)
    assert "<del>-     fast: 5" in compared
    assert "<ins>+     fast: 6" in compared
    store.save_strategies([replace(FITS, sizing="percent:1")], actor="somebody else")
    stale = client.post("/strategies/~save", data=form | {"key": "this-form"})
    assert stale.status_code == 409
    assert "fits is at version 2 now, the page showed 1" in stale.text
    assert "version 2; it was 1" in beside(client.post("/strategies/~review", data=form).text, "id")
    assert store.strategy("fits").params["fast"] == 5


def test_a_new_one_never_takes_the_place_of_another(store, browser) -> None:
    store.save_strategies([FITS], actor="test")
    client = browser(Role.OPERATOR)
    assert "is a strategy already" in beside(client.post("/strategies/~review", data=FORM | {"id": "fits"}).text, "id")
    assert client.post("/strategies/~save", data=FORM | {"id": "fits", "key": "this-form"}).status_code == 409
    assert store.strategy("fits").version == 1


def test_an_older_version_comes_back_into_the_form_and_a_copy_has_another_id(store, browser) -> None:
    store.save_strategies([FITS], actor="test")
    store.save_strategies([replace(FITS, sizing="percent:1")], actor="test")
    client = browser(Role.OPERATOR)
    text = client.get("/strategies/fits/edit", params={"version": 1}).text
    assert 'name="sizing" value="percent:5"' in text
    assert 'name="seen" value="2"' in text
    copied = client.get("/strategies/~new", params={"copy": "fits"}).text
    assert 'name="id" value="fits_copy"' in copied
    assert 'name="seen" value="0"' in copied
    page = client.get("/strategies/fits").text
    assert "<del>-   sizing: percent:5" in page
    assert "<ins>+   sizing: percent:1" in page


def test_what_is_exported_is_what_is_stored(store, browser) -> None:
    store.save_strategies([FITS, replace(FITS, id="other", is_dry_run=True)], actor="test")
    client = browser(Role.VIEWER)
    every = client.get("/strategies/~export")
    assert every.headers["content-disposition"] == 'attachment; filename="strategies.yaml"'
    assert [(entry["id"], entry.get("dry_run", False)) for entry in yaml.safe_load(every.text)] == [
        ("fits", False),
        ("other", True),
    ]
    assert [entry["id"] for entry in yaml.safe_load(client.get("/strategies/other/export").text)] == ["other"]


def test_one_that_does_not_fit_is_not_switched_on_and_one_that_does_is_once(store, browser) -> None:
    store.save_strategies([FITS, replace(FITS, id="loose", risk={"max_order_value_usd": "1e9"})], actor="test")
    client = browser(Role.OPERATOR)
    form = {"name": "enabled", "is_on": "true", "seen": "1"}
    refused = client.post("/strategies/loose/switch", data=form | {"key": "first-form"})
    assert refused.status_code == 400
    assert "max_order_value_usd" in refused.text
    assert not store.strategy("loose").is_enabled
    answers = [client.post("/strategies/fits/switch", data=form | {"key": "other-form"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert (store.strategy("fits").is_enabled, store.strategy("fits").version) == (True, 2)
    stale = client.post("/strategies/fits/switch", data=form | {"name": "dry_run", "key": "stale-form"})
    assert stale.status_code == 409
    client.post("/strategies/fits/switch", data=form | {"name": "dry_run", "seen": "2", "key": "third-form"})
    assert store.strategy("fits").is_dry_run
    assert "rehearses" in client.get("/strategies").text


def test_a_pause_withdraws_permission_of_one_strategy_until_somebody_who_may_gives_it_back(app, store, browser) -> None:
    store.save_strategies([replace(FITS, is_enabled=True), replace(FITS, id="other", is_enabled=True)], actor="test")
    operator, owner = browser(Role.OPERATOR), browser(Role.ARM)
    form = {"reason": "odd prices", "key": "this-form"}
    assert [operator.post("/strategies/fits/pause", data=form).status_code for _ in range(2)] == [303, 303]
    book = bootstrap.intent_book(app.state.sources.settings)
    reference = app.state.sources.account_ref
    assert "odd prices" in str(book.killed_by(reference, "fits", 8314))
    assert book.killed_by(reference, "other", 8314) is None
    page = owner.get("/strategies/fits").text
    assert "paused" in page
    seen = re.search(r'/strategies/fits/resume.*?name="seen" value="(\d+)"', page, re.DOTALL)[1]
    back = {"reason": "prices agree", "seen": seen, "key": "that-form"}
    assert operator.post("/strategies/fits/resume", data=back).status_code == 403
    assert owner.post("/strategies/fits/resume", data=back | {"seen": "999999", "key": "stale-form"}).status_code == 409
    assert owner.post("/strategies/fits/resume", data=back | {"reason": " ", "key": "empty-form"}).status_code == 400
    assert owner.post("/strategies/fits/resume", data=back).status_code == 303
    assert book.killed_by(reference, "fits", 8314) is None
    assert [row["action"] for row in acts(app.state.sources.database, 10) if row["problem"] is None] == [
        "resume",
        "pause",
    ]


def test_a_viewer_sees_strategies_and_no_way_to_change_one(store, browser) -> None:
    store.save_strategies([FITS], actor="test")
    viewer = browser(Role.VIEWER)
    for path in ("/strategies", "/strategies/fits"):
        text = viewer.get(path).text
        assert '<form method="post" action="/strategies' not in text
        assert "~new" not in text
    assert viewer.get("/strategies/fits/edit").status_code == 403

"""Quarantine from the page: found, looked at beside its neighbours, decided on once, and what rests on it told."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

import pandas as pd
import pytest

from ibkr_assets import bootstrap
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.quarantine import PostgresQuarantine
from ibkr_assets.dashboard.access import Role
from ibkr_assets.dashboard.candles import draw_candles
from ibkr_assets.dashboard.login import FRESH_S
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.ingest.features import build_features
from ibkr_assets.ingest.validation import validate_sessions
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.market.quarantine import Decision
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars

NYSE = exchange_calendar("XNYS")
SESSIONS = NYSE.sessions(date(2012, 4, 2), date(2012, 9, 28))
SPIKE_ID, ROW_ID = "8314-1d-20120822T133000Z-1", "row-1"


@pytest.fixture
def app_database(app, postgres_server) -> Iterator[Database]:
    """The page's database, with the role that brings bars in."""
    name = urlsplit(app.state.sources.database.url).path.strip("/")
    opened = Database(postgres_server.url(name, "ibkr_app"))
    yield opened
    opened.close()


@pytest.fixture
def kept_back(app, app_database: Database) -> PostgresQuarantine:
    """IBM's bar of 22 August 2012 closes a third higher than it did, and a row came that names no time."""
    bars = real_bars("IBM", "MSFT", start=SESSIONS[0].day, end=SESSIONS[-1].day)
    spiked = (bars["conid"] == CONIDS["IBM"]) & (bars["opened_at"] == NYSE.session(date(2012, 8, 22)).opens_at)
    bars.loc[spiked, ["high", "close"]] *= 4 / 3
    store = PostgresBars(app_database)
    store.save_instruments([INSTRUMENTS["IBM"], INSTRUMENTS["MSFT"]])
    known = datetime(2013, 1, 1, tzinfo=UTC)
    store.save_bars(bars, BarSize.DAY, source="test", known_from=known)
    timeless = bars[bars["conid"] == CONIDS["IBM"]].tail(1).assign(opened_at=pd.DatetimeIndex([pd.NaT], tz="UTC"))
    store.save_bars(timeless, BarSize.DAY, source="test", known_from=known)
    validate_sessions(store, NYSE, instruments=store.instruments(), sessions=SESSIONS)
    build_features(store, NYSE, instruments=store.instruments(), sessions=SESSIONS[-30:])
    return PostgresQuarantine(app_database)


def form_of(page: str, **values: str) -> dict[str, str]:
    """What a browser sends of the page's form of a case."""
    case = re.search(r'name="case" value="([^"]+)"', page)
    key = re.search(r'name="key" value="([^"]+)"', page)
    assert case is not None
    assert key is not None
    return {"case": html.unescape(case[1]), "key": key[1], **values}


def test_what_waits_is_listed_with_its_reason_and_filtered_by_it(kept_back, browser) -> None:
    client = browser(Role.VIEWER)
    page = client.get("/quarantine").text
    assert "too big jump" in page
    assert "the close moved by more than 25 % and 12 standard deviations" in page
    assert SPIKE_ID in page
    assert "~decide" not in page  # a viewer looks
    jumps = client.get("/quarantine", params={"reason": "too_big_jump"}).text
    assert SPIKE_ID in jumps
    assert ROW_ID not in jumps
    assert ROW_ID in client.get("/quarantine", params={"reason": "missing_field"}).text
    assert SPIKE_ID not in client.get("/quarantine", params={"symbol": "MSFT"}).text
    assert "None for this filter" in client.get("/quarantine", params={"show": "decided"}).text


def test_pages_of_the_list_have_each_case_once(kept_back, app_database, browser, monkeypatch) -> None:
    monkeypatch.setattr("ibkr_assets.dashboard.pages.quarantine._PAGE", 1)
    client, address, seen = browser(Role.VIEWER), "/quarantine", []
    while address:
        page = client.get(address).text
        seen += re.findall(r'href="/quarantine/([^"~?]+)"', page)
        older = re.search(r'href="(/quarantine\?[^"]+)">Older', page)
        address = html.unescape(older[1]) if older else ""
    assert sorted(seen) == sorted([SPIKE_ID, ROW_ID])


def test_a_case_is_shown_beside_its_neighbours_with_what_rests_on_it(kept_back, browser) -> None:
    page = browser(Role.OPERATOR).get(f"/quarantine/{SPIKE_ID}").text
    assert page.count('class="band"') == 1
    assert page.count("<title>2012-") == 31  # itself, and fifteen on either side
    before, own = real_bars("IBM", start=date(2012, 8, 21), end=date(2012, 8, 22))["close"]
    assert f"▲</span> +{(own * 4 / 3 / before - 1) * 100:.2f}" in page  # the change that made it suspect
    assert "Enriched features" in page
    assert "Release: it is right" in page


def test_a_row_that_was_no_bar_is_shown_as_it_came_and_can_only_be_rejected(kept_back, browser) -> None:
    client = browser(Role.OPERATOR)
    page = client.get(f"/quarantine/{ROW_ID}").text
    assert "&#34;symbol&#34;: &#34;IBM&#34;" in page
    assert "No picture" in page
    assert "Release: it is right" not in page
    form = form_of(page, reason="no time on it", decision="release")
    refused = client.post("/quarantine/~decide", data=form)
    assert refused.status_code == 400
    assert "it is no bar" in refused.text
    assert (
        client.post("/quarantine/~decide", data=form | {"decision": "reject", "key": "another-key"}).status_code == 200
    )
    assert kept_back.case(ROW_ID).decision == "reject"


def test_a_release_is_written_once_with_who_and_why_and_says_what_to_compute_again(app, kept_back, browser) -> None:
    client = browser(Role.OPERATOR)
    form = form_of(client.get(f"/quarantine/{SPIKE_ID}").text, reason=" the exchange has it ", decision="release")
    pages = [client.post("/quarantine/~decide", data=form) for _ in range(2)]
    assert [page.status_code for page in pages] == [200, 200]
    for page in pages:
        assert "Released 1 row" in page.text
        assert "Validated bars" in page.text
        assert re.search(r"Enriched features</dt><dd>\d+ sessions: 2012-08-22 to 2012-09-28", page.text)
    case = kept_back.case(SPIKE_ID)
    assert (case.decision, case.actor, case.reason) == ("release", "dashboard:operator", "the exchange has it")
    store = bootstrap.bar_store(app.state.sources.settings)
    start, end = SESSIONS[0].opens_at, SESSIONS[-1].closes_at
    assert len(store.load_bars([CONIDS["IBM"]], BarSize.DAY, start, end, is_validated=True)) == len(SESSIONS)


def test_a_page_that_shows_another_decision_than_there_is_decides_nothing(kept_back, browser) -> None:
    client = browser(Role.OPERATOR)
    form = form_of(client.get(f"/quarantine/{SPIKE_ID}").text, reason="looks right", decision="release")
    kept_back.decide([SPIKE_ID], Decision.REJECT, actor="anna", reason="bad tick")
    stale = client.post("/quarantine/~decide", data=form)
    assert stale.status_code == 409
    assert "is reject now, the page showed undecided" in stale.text
    assert kept_back.case(SPIKE_ID).actor == "anna"
    again = form_of(client.get(f"/quarantine/{SPIKE_ID}").text, reason="looks right", decision="release")
    assert client.post("/quarantine/~decide", data=again).status_code == 200


def test_a_decision_without_a_reason_or_a_case_is_none(kept_back, browser) -> None:
    client = browser(Role.OPERATOR)
    form = {"case": f"{SPIKE_ID}|", "key": "this-form", "decision": "release", "reason": "because"}
    for wrong in ({"reason": "  "}, {"reason": ""}, {"case": "x"}, {"case": "8314|perhaps"}, {"decision": "sell"}):
        assert client.post("/quarantine/~decide", data=form | wrong).status_code == 400
    assert client.post("/quarantine/~decide", data=form | {"case": "row-99|"}).status_code == 400
    assert client.get("/quarantine/row-99").status_code == 400
    assert kept_back.case(SPIKE_ID).decision is None
    assert browser(Role.VIEWER).post("/quarantine/~decide", data=form).status_code == 403


def test_an_instrument_is_held_by_an_operator_and_lifted_for_what_was_shown_by_who_may(kept_back, browser) -> None:
    operator, owner = browser(Role.OPERATOR), browser(Role.ARM)
    form = {"conid": str(CONIDS["IBM"]), "reason": " merger announced ", "key": "hold-ibm-once"}
    assert [operator.post("/quarantine/~hold", data=form).status_code for _ in range(2)] == [303, 303]
    assert [(one.symbol, one.actor, one.reason) for one in kept_back.holds()] == [
        ("IBM", "dashboard:operator", "merger announced")
    ]
    page = operator.get("/quarantine").text
    assert "merger announced" in page
    assert "Lift IBM" not in page
    assert "Lift IBM" in owner.get("/quarantine").text
    seen = html.unescape(re.search(r'name="seen" value="([^"]+)"', owner.get("/quarantine").text)[1])
    lift = {"conid": str(CONIDS["IBM"]), "seen": seen, "reason": "it was a rumour", "key": "lift-ibm-once"}
    kept_back.hold(CONIDS["IBM"], actor="anna", reason="another")
    stale = owner.post("/quarantine/~lift", data=lift)
    assert stale.status_code == 409
    assert "has changed since the page was loaded" in stale.text
    assert len(kept_back.holds()) == 2
    again = html.unescape(re.search(r'name="seen" value="([^"]+)"', owner.get("/quarantine").text)[1])
    assert again != seen
    assert owner.post("/quarantine/~lift", data=lift | {"seen": again, "key": "lift-ibm-then"}).status_code == 303
    assert kept_back.holds() == []
    assert operator.post("/quarantine/~hold", data=form | {"conid": "1", "key": "hold-nothing"}).status_code == 400


def test_an_instrument_is_not_lifted_by_a_login_that_is_old(app, kept_back, browser) -> None:
    kept_back.hold(CONIDS["IBM"], actor="anna", reason="merger announced")
    client = browser(Role.ARM)
    old = replace(app.state.sessions.begin("arm", Role.ARM), since=time.time() - FRESH_S - 60)
    client.cookies.set("ibkr-assets-8000", app.state.sessions.write(old))
    client.headers["x-csrf-token"] = old.token
    page = client.get("/quarantine").text
    assert "Lift IBM" not in page
    form = {"conid": str(CONIDS["IBM"]), "seen": kept_back.holds()[0].since.isoformat(), "reason": "it was a rumour"}
    refused = client.post("/quarantine/~lift", data=form | {"key": "lift-ibm-once"})
    assert refused.status_code == 400
    assert "log in again" in refused.text
    assert len(kept_back.holds()) == 1


def test_a_candle_without_all_its_prices_is_a_gap_and_few_are_no_picture() -> None:
    at = datetime(2012, 8, 22, tzinfo=UTC)
    assert draw_candles([], marked=None) == ""
    assert draw_candles([(at, (1.0, None, None, 2.0))], marked=at) == ""
    picture = draw_candles([(at, (1.0, 2.0, 0.5, 1.5)), (at.replace(day=23), (1.0, None, 1.0, 1.0))], marked=at)
    assert picture.count("<g ") == 1
    assert picture.count("band") == 1

"""The web page in a real browser, over a whole stack: looked at, used, stopped and released, wide and narrow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from ibkr_assets_tests.browser import come_in, find_violations, is_too_wide, needs_chromium
from ibkr_assets_tests.journeys.stacks import Stack, running_stack

PAGES = (
    "/", "/positions", "/signals", "/orders", "/runs", "/experiments", "/backtests", "/backtests/~new?what=sweep",
    "/strategies", "/strategies/sma_cross_10_30", "/strategies/sma_cross_10_30/edit", "/quarantine", "/alerts",
    "/system", "/stop",
)  # fmt: skip
#: Whatever RSI(2) was, this wants one share, at the next session and ever after.
WATCHED = {
    "id": "watched", "symbols": "IBM", "params": "period: 2\nlow: 99.9\nhigh: 100.0", "sizing": "fixed:1",
}  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), needs_chromium]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that replays a few sessions and stays up."""
    with running_stack(tmp_path_factory.mktemp("dashboard-journey"), "--sessions", "5") as started:
        yield started


@pytest.fixture(scope="module")
def address(stack: Stack) -> str:
    """The address that lets in once, after the replay."""
    return stack.link()


@pytest.fixture(scope="module")
def cookies(address: str, chromium: Browser) -> Any:
    """Somebody who came in by the link."""
    return come_in(chromium, address)


@pytest.fixture
def page(address: str, chromium: Browser, cookies: Any) -> Iterator[Page]:
    """A page of somebody logged in. What the browser complains about fails the test."""
    context = chromium.new_context(base_url=address.partition("/login")[0], viewport={"width": 1360, "height": 900})
    context.add_cookies(cookies)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    assert complaints == []


def test_a_strategy_is_added_and_its_order_watched_from_decision_to_fill_while_the_stack_replays(
    stack: Stack, chromium: Browser
) -> None:
    """First of all tests, before the replay has ended: the page of the order is never loaded again by hand."""
    link = stack.link("watch it")
    context = chromium.new_context(base_url=link.partition("/login")[0])
    page = context.new_page()
    page.goto(link)
    page.get_by_role("button", name="Enter the dashboard").click()
    page.goto("/strategies/~new")
    for field, text in WATCHED.items():
        page.locator(f"[name={field}]").fill(text)
    page.locator("[name=kind]").select_option("rsi_reversion")
    page.get_by_role("button", name="Show what would change").click()
    page.get_by_role("button", name="Store as version 1").click()
    page.get_by_role("button", name="Enable watched").click()
    expect(page.locator(".head .state")).to_have_text("enabled")
    page.goto("/orders?strategy=watched")
    newest = page.locator("section[data-live=all] tbody a").first
    expect(newest).to_be_visible(timeout=240_000)
    page.goto(newest.get_attribute("href") or "")
    expect(page.locator("h1 .state")).to_have_text("filled", timeout=120_000)
    story = page.locator("section[data-live=timeline]")
    for word in ("approved", "submitting", "acked", "filled"):
        expect(story).to_contain_text(word)
    expect(page.locator("section[data-live=fills] tbody tr")).not_to_have_count(0)
    page.goto("/signals?strategy=watched")
    expect(page.locator("section[data-live=signals]")).to_contain_text("RSI(2)")
    context.close()


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_page_can_be_used_by_everybody(page: Page, path: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(path)
    assert find_violations(page) == []


@pytest.mark.parametrize("path", PAGES)
def test_a_narrow_page_does_not_scroll_sideways(page: Page, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(path)
    assert not is_too_wide(page)
    expect(page.get_by_role("link", name="Stop trading")).to_be_visible()


def test_the_overview_shows_what_the_account_is_worth_and_draws_its_prices(page: Page) -> None:
    page.goto("/")
    worth = page.locator("[data-figure=nav]").inner_text()
    assert re.fullmatch(r"\d{2,3},\d{3}\.\d\d", worth)
    expect(page.locator("#chart[data-drawn]")).to_be_attached(timeout=10_000)
    expect(page.locator("#chart canvas").first).to_be_visible()
    expect(page.locator("#live")).to_have_text("live")
    assert page.get_by_role("heading", name="Pipeline").is_visible()
    assert page.locator(".strip li").count() == 5
    assert page.locator(".strip .badge.good").count() >= 4


def test_a_fill_says_why(page: Page) -> None:
    page.goto("/positions")
    page.locator("section[data-live=fills] tbody a").first.click()
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    body = page.locator("main").inner_text()
    for words in ("SMA(10)", "approved", "order_value", "sma_10", "place ok"):
        assert words in body


def test_a_run_is_launched_and_its_log_followed_to_its_end(page: Page) -> None:
    page.goto("/runs")
    page.get_by_label("Job").select_option("market_data")
    page.get_by_role("button", name="Launch").click()
    expect(page.get_by_role("heading", name=re.compile("market_data"))).to_be_visible()
    expect(page.locator("#run-state")).to_contain_text("success", timeout=90_000)
    expect(page.locator("#log")).to_contain_text("Finished execution of run", timeout=10_000)


def test_trading_is_stopped_and_released(page: Page) -> None:
    page.goto("/stop")
    page.get_by_label("Reason").fill("a test of the button")
    page.get_by_label("Type STOP").fill("STOP")
    page.get_by_role("button", name="Stop trading").click()
    expect(page.get_by_role("link", name="STOPPED")).to_be_visible()
    page.get_by_label("Why it is safe to trade again").fill("it was a test")
    page.get_by_role("button", name="Give permission back").click()
    expect(page.get_by_text("may trade")).to_be_visible()


def test_what_changes_is_pushed_to_pages_that_are_open(
    page: Page, address: str, chromium: Browser, cookies: Any
) -> None:
    page.goto("/")
    expect(page.locator("#live")).to_have_text("live")
    other = chromium.new_context(base_url=address.partition("/login")[0], java_script_enabled=False)
    other.add_cookies(cookies)
    plain = other.new_page()
    plain.goto("/stop")
    plain.get_by_label("Type STOP").fill("STOP")
    plain.get_by_role("button", name="Stop trading").click()
    expect(page.get_by_role("link", name="STOPPED")).to_be_visible(timeout=3_000)
    plain.get_by_label("Why it is safe to trade again").fill("it was a test")
    plain.get_by_role("button", name="Give permission back").click()
    expect(page.get_by_text("may trade")).to_be_visible(timeout=3_000)
    other.close()


def test_a_strategy_is_added_without_any_script_and_its_mistakes_stand_beside_their_fields(
    address: str, chromium: Browser, cookies: Any
) -> None:
    context = chromium.new_context(base_url=address.partition("/login")[0], java_script_enabled=False)
    context.add_cookies(cookies)
    plain = context.new_page()
    plain.goto("/strategies")
    plain.get_by_role("link", name="Add a strategy").click()
    plain.locator("[name=id]").fill("by_hand")
    plain.locator("[name=symbols]").fill("ibm")
    plain.locator("[name=params]").fill("fast: 30\nslow: 20")
    plain.get_by_role("button", name="Show what would change").click()
    expect(plain.locator("#params-problem")).to_contain_text("slow must be greater than fast, got fast 30")
    plain.locator("[name=params]").fill("fast: 3\nslow: 20")
    plain.get_by_role("button", name="Show what would change").click()
    expect(plain.locator("ins").first).to_contain_text("id: by_hand")
    plain.get_by_role("button", name="Store as version 1").click()
    expect(plain.get_by_role("heading", name="by_hand")).to_be_visible()
    plain.get_by_role("button", name="Enable by_hand").click()
    expect(plain.locator(".head .state")).to_have_text("enabled")
    context.close()

"""Every page with nothing to show and nobody else there, in a real browser: usable by everybody, wide and narrow."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect, sync_playwright

from ibkr_assets.dashboard.access import Role
from ibkr_assets_tests.dashboard.test_scripts import CHROMIUM, served
from ibkr_assets_tests.journeys.test_dashboard import AXE

#: Page, and what it says where there is nothing yet or where who would know is away.
PAGES = {
    "/": "No account data yet",
    "/positions": "No account data yet",
    "/signals": "A run of trading_strategy makes them",
    "/orders": "None yet",
    "/runs": "Dagster",
    "/experiments": "MLflow",
    "/backtests": "MLflow: no server",
    "/backtests/~new?what=sweep": "Grid",
    "/strategies": "None yet. Add one here",
    "/strategies/~new": "Add a strategy",
    "/quarantine": "Nothing",
    "/alerts": "None",
    "/system": "Gateway",
    "/stop": "Nothing is withdrawn",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: `make browser` installs Debian's"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(shared_app: FastAPI, chromium: Browser) -> Iterator[Page]:
    with served(shared_app) as address:
        context = chromium.new_context(base_url=address)
        session = shared_app.state.sessions.begin("arm", Role.ARM)
        name = f"ibkr-assets-{urlsplit(address).port}"
        context.add_cookies([{"name": name, "value": shared_app.state.sessions.write(session), "url": address}])
        yield context.new_page()
        context.close()


@pytest.mark.parametrize(("path", "says"), PAGES.items())
def test_an_empty_page_says_what_is_not_there_and_can_be_used_by_everybody(page: Page, path: str, says: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(path)
    expect(page.locator("main")).to_contain_text(says)
    wide, seen = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= seen
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(path)  # anew: a colour that is on its way from one scheme to the other is neither
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = page.evaluate(
            "async () => (await axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']})).violations"
        )
        assert [(rule["id"], [node["html"][:120] for node in rule["nodes"][:3]]) for rule in found] == []

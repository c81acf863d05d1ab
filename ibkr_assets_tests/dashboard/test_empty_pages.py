"""Every page with nothing to show and nobody else there, in a real browser: usable by everybody, wide and narrow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect

from ibkr_assets_tests.browser import find_violations, is_too_wide, needs_chromium, served, session_cookie

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

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), needs_chromium]


@pytest.fixture(scope="module")
def page(shared_app: FastAPI, chromium: Browser) -> Iterator[Page]:
    with served(shared_app) as address:
        context = chromium.new_context(base_url=address)
        context.add_cookies([session_cookie(shared_app, address)])
        yield context.new_page()
        context.close()


@pytest.mark.parametrize(("path", "says"), PAGES.items())
def test_an_empty_page_says_what_is_not_there_and_can_be_used_by_everybody(page: Page, path: str, says: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(path)
    expect(page.locator("main")).to_contain_text(says)
    assert not is_too_wide(page)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(path)  # anew: a colour that is on its way from one scheme to the other is neither
        assert find_violations(page) == []

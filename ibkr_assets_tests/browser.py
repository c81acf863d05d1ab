"""Debian's Chromium, as tests of the page and its measurements use it: starting it, coming in, and what axe finds.

What goes here: what they would all repeat. What does not: any page, and stacks (`journeys.stacks`).
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

import ibkr_assets
from ibkr_assets.dashboard.access import Role

if TYPE_CHECKING:
    from fastapi import FastAPI

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: `make browser` installs Debian's"
)
_AXE = Path(ibkr_assets.__file__).parent / "dashboard" / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
_RUN_AXE = "async () => (await axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']})).violations"
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def start_chromium() -> Iterator[Browser]:
    """A browser that nobody sees."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for a module: a longer life would leave its event loop to tests that want one of their own."""
    with start_chromium() as browser:
        yield browser


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The application behind a server of its own in this process; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


def session_cookie(app: FastAPI, address: str, role: Role = Role.ARM) -> Any:
    """The cookie of somebody of this role at the application that is served there."""
    session = app.state.sessions.begin(role.name.lower(), role)
    name = f"ibkr-assets-{urlsplit(address).port}"
    return {"name": name, "value": app.state.sessions.write(session), "url": address}


def come_in(browser: Browser, link: str) -> Any:
    """The cookies of somebody who came in by the link, which lets in once."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    page.get_by_role("button", name="Enter the dashboard").click()
    page.get_by_role("heading", name="Pipeline").wait_for()
    cookies = context.cookies()
    context.close()
    return cookies


def find_violations(page: Page) -> list[tuple[str, list[str]]]:
    """Rules of WCAG A and AA that axe sees broken on the page as it stands, each with its first elements."""
    page.evaluate(_AXE.read_text(encoding="utf-8"))
    return [(rule["id"], [node["html"][:120] for node in rule["nodes"][:3]]) for rule in page.evaluate(_RUN_AXE)]


def is_too_wide(page: Page) -> bool:
    """Whether the page as a whole scrolls sideways."""
    wide, seen = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    return bool(wide > seen)

"""The web page in a real browser, over a whole stack: bytes, time to the chart, push, healing, twenty tabs.

A stack of its own replays a few sessions first; the browser is Debian's Chromium. What is looked for: a page of at
most 300 kB that is drawn within a second, a change of the database on the page within a second, a page that lives again
within five seconds of its server, and less than 5 % of a processor for twenty open pages.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
from playwright.sync_api import Browser, BrowserContext, Page, expect

from benchmarks.measure import Table
from ibkr_assets_tests.browser import come_in, start_chromium
from ibkr_assets_tests.journeys.stacks import running_stack

SESSIONS = 3
TABS = 20
_PAGES = ("/", "/positions", "/signals", "/orders", "/runs", "/experiments", "/backtests", "/strategies", "/quarantine",
          "/alerts", "/system", "/stop")  # fmt: skip
_ROUNDS = 5
_TABS_FOR_S = 20.0


def run() -> Iterator[Table]:
    """Start a stack, measure it, stop it."""
    with tempfile.TemporaryDirectory(prefix="dashboard-") as directory:
        data_dir = Path(directory)
        with running_stack(data_dir, "--sessions", str(SESSIONS)) as stack:
            yield from measure(stack.link(), data_dir)


def measure(link: str, data_dir: Path) -> Iterator[Table]:
    """The tables of the stack on `data_dir`; `link` lets in once."""
    with start_chromium() as browser:
        cookies = come_in(browser, link)
        address = link.partition("/login")[0]
        yield _page_table(browser, address, cookies)
        rows = [_push(browser, address, cookies), _heal(browser, address, cookies, data_dir)]
        rows += _tabs(browser, address, cookies, data_dir)
        yield Table("the page while things happen", ("", "measured", "looked for"), rows)


def _visitor(browser: Browser, address: str, cookies: Any) -> BrowserContext:
    context = browser.new_context(base_url=address, viewport={"width": 1360, "height": 900})
    context.add_cookies(cookies)
    return context


def _page_table(browser: Browser, address: str, cookies: Any) -> Table:
    """Each page with nothing in the browser's store: all bytes that crossed, and when it was drawn."""
    rows = []
    for path in _PAGES:
        sizes, drawn_s = [], []
        for _ in range(_ROUNDS):
            context = _visitor(browser, address, cookies)
            page = context.new_page()
            devtools = context.new_cdp_session(page)
            devtools.send("Network.enable")
            received: list[float] = []
            devtools.on("Network.loadingFinished", lambda event, into=received: into.append(event["encodedDataLength"]))
            began = time.perf_counter()
            page.goto(path, wait_until="load")
            if path == "/":
                page.wait_for_selector("#chart[data-drawn]", state="attached")
            drawn_s.append(time.perf_counter() - began)
            sizes.append(sum(received))
            context.close()
        rows.append((path, f"{statistics.median(sizes) / 1000:.0f} kB", f"{statistics.median(drawn_s):.2f} s"))
    return Table(
        f"pages, each {_ROUNDS} times with an empty store (at most 300 kB; / until its chart is drawn, at most 1 s)",
        ("", "bytes", "drawn after"), rows,
    )  # fmt: skip


def _push(browser: Browser, address: str, cookies: Any) -> tuple[str, str, str]:
    """From the answer to a stop, which is committed by then, to the word on another page that is open."""
    context = _visitor(browser, address, cookies)
    watching, acting = context.new_page(), context.new_page()
    watching.goto("/orders")
    _until_live(watching)
    behind = []
    for _ in range(_ROUNDS):
        acting.goto("/stop")
        acting.get_by_label("Type STOP").fill("STOP")
        with acting.expect_response(lambda answer: answer.request.method == "POST") as posted:
            acting.get_by_role("button", name="Stop trading").click()
        assert posted.value.status == 303
        began = time.perf_counter()
        watching.get_by_role("link", name="STOPPED").wait_for()
        behind.append(time.perf_counter() - began)
        acting.goto("/stop")
        acting.get_by_label("Why it is safe to trade again").fill("measured")
        acting.get_by_role("button", name="Give permission back").click()
        watching.get_by_text("may trade").wait_for()
    context.close()
    return (
        "a change of the database on an open page",
        f"{statistics.median(behind):.2f} s, longest {max(behind):.2f}",
        "1 s",
    )


def _heal(browser: Browser, address: str, cookies: Any, data_dir: Path) -> tuple[str, str, str]:
    """The server is killed; its supervisor starts it again. From its first answer to a page that lives again."""
    context = _visitor(browser, address, cookies)
    page = context.new_page()
    page.goto("/orders")
    _until_live(page)
    _server(data_dir, address).kill()
    killed = time.perf_counter()
    expect(page.locator("#live")).to_contain_text("reconnecting")
    while not _answers(address):
        time.sleep(0.05)
    answered = time.perf_counter()
    _until_live(page)
    lives = time.perf_counter()
    context.close()
    return (
        "a page that lives again after its server",
        f"{lives - answered:.2f} s ({lives - killed:.1f} s after the kill)", "5 s",
    )  # fmt: skip


def _tabs(browser: Browser, address: str, cookies: Any, data_dir: Path) -> list[tuple[str, str, str]]:
    """Twenty pages of one browser that stay open while the stack waits for the next session."""
    context = _visitor(browser, address, cookies)
    pages = [context.new_page() for _ in range(TABS)]
    for number, page in enumerate(pages):
        page.goto(_PAGES[number % 4])
    for page in pages:
        _until_live(page)
    pages[0].wait_for_timeout(3_000)
    server = _server(data_dir, address)
    before, began = sum(server.cpu_times()[:2]), time.perf_counter()
    pages[0].wait_for_timeout(_TABS_FOR_S * 1000)
    share = (sum(server.cpu_times()[:2]) - before) / (time.perf_counter() - began)
    context.close()
    return [(f"the server with {TABS} open pages", f"{share:.1%} of a processor", "5 %")]


def _until_live(page: Page) -> None:
    expect(page.locator("#live")).to_have_text("live", timeout=60_000)


def _server(data_dir: Path, address: str) -> psutil.Process:
    """The process that listens at the address."""
    port = urlsplit(address).port
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[-2:] != ["dashboard", "run"]:
            continue
        if any(c.laddr.port == port for c in process.net_connections() if c.status == psutil.CONN_LISTEN):
            return process
    raise RuntimeError(f"no dashboard listens on port {port} for {data_dir}")


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False

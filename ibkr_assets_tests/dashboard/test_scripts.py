"""Strings that would run as scripts, in rows of every kind, on every page, in a real browser: none of them does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, Page

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets_tests.browser import needs_chromium, served, session_cookie
from ibkr_assets_tests.dashboard.conftest import application
from ibkr_assets_tests.dashboard.hostile import FIELDS, STRINGS, poison
from ibkr_assets_tests.execution.decided import decide

#: Counts every string that ran, and everything that the page's own policy had to stop.
HOOK = """
window.ran = []; window.pwned = () => window.ran.push('pwned');
for (const name of ['alert', 'confirm', 'prompt', 'print', 'open']) window[name] = () => { window.ran.push(name); };
document.addEventListener('securitypolicyviolation', event => window.ran.push(event.violatedDirective));
"""
#: What no page of ours has beside its chart: elements and attributes that only a string could have brought in.
FOREIGN = """
[...document.querySelectorAll('main *')].filter(e => !e.closest('#chart')).filter(e => ['IMG','IFRAME','OBJECT','EMBED',
  'MARQUEE','STYLE','BASE','SCRIPT','VIDEO','AUDIO','MATH','ANIMATE'].includes(e.tagName)
  || e.getAttributeNames().some(name => name.startsWith('on'))
  || /^(javascript|data):/i.test(e.getAttribute('href') || e.getAttribute('action') || '')).map(e => e.outerHTML)
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), needs_chromium]


@pytest.fixture(scope="module")
def poisoned(
    postgres_server, _template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[FastAPI, str, str]]:
    """The application over poisoned rows, its address, and the order that holds them all."""
    directory = tmp_path_factory.mktemp("poisoned")
    orders: list[str] = []

    def furnish(owner: Database) -> None:
        decide(owner, directory)
        orders.append(poison(owner))

    with application(postgres_server, _template, directory, furnish) as app, served(app) as address:
        yield app, address, orders[0]


@contextmanager
def visitor(chromium: Browser, app: FastAPI, address: str, *, has_policy: bool) -> Iterator[Page]:
    """A page of somebody who may do everything; without the policy, escaping stands alone."""
    context: BrowserContext = chromium.new_context(base_url=address, bypass_csp=not has_policy)
    context.add_cookies([session_cookie(app, address)])
    context.add_init_script(HOOK)
    page = context.new_page()
    page.on("dialog", lambda dialog: dialog.dismiss())
    yield page
    context.close()


def pages(order: str) -> list[str]:
    """Every page that shows stored text, and the one order that holds it all."""
    first = "/strategies/hostile-0"
    return [
        "/",
        "/positions",
        "/signals",
        "/orders",
        f"/orders/{order}",
        f"/orders/{order}/doubt",
        "/strategies",
        first,
        f"{first}/edit",
        "/system",
        "/stop",
        "/runs",
        "/experiments",
        "/quarantine",
        "/alerts",
        "/orders?strategy=%22%3E%3Cscript%3Epwned()%3C/script%3E",
        "/signals?symbol=%3Cimg%20src=x%20onerror=pwned()%3E",
        "/login?next=javascript:pwned()",
        "/orders/%3Cscript%3Epwned()%3C%2Fscript%3E",
        "/nowhere%3Cscript%3Epwned()%3C/script%3E",
    ]


def test_there_are_fifty_strings_in_a_dozen_fields_and_each_would_run() -> None:
    assert len(set(STRINGS)) >= 50
    assert len(set(FIELDS)) >= 12
    assert all("wned()" in text for text in STRINGS)


def test_the_hook_hears_what_runs(chromium: Browser) -> None:
    """Otherwise the next test would prove nothing: the same strings on a page that does not escape."""
    context = chromium.new_context()
    context.add_init_script(HOOK)
    page = context.new_page()
    page.goto("about:blank")
    page.set_content("<main>" + "".join(STRINGS[10:20]) + "</main>")
    page.wait_for_function("window.ran.length > 0", timeout=5_000)
    assert page.evaluate(FOREIGN)
    context.close()


@pytest.mark.parametrize("has_policy", [True, False], ids=["as served", "by escaping alone"])
def test_none_of_them_runs_on_any_page(poisoned, chromium: Browser, has_policy: bool) -> None:
    app, address, order = poisoned
    shown = 0
    with visitor(chromium, app, address, has_policy=has_policy) as page:
        for path in pages(order):
            page.goto(path)
            page.evaluate("for (const e of document.querySelectorAll('details')) e.open = true")
            page.evaluate("for (const e of document.querySelectorAll('main a, main button, main input')) e.focus()")
            assert page.evaluate("window.ran") == [], path
            assert page.evaluate(FOREIGN) == [], path
            shown += page.inner_text("body").count("pwned()")
    assert shown > 500, "the strings must be on the pages, as text"


def test_what_got_in_would_not_run_either(poisoned, chromium: Browser) -> None:
    """The page's own policy, behind the escaping: markup put into a page as served."""
    app, address, _ = poisoned
    with visitor(chromium, app, address, has_policy=True) as page:
        page.goto("/orders")
        page.evaluate(
            "text => { const at = document.querySelector('main'); at.innerHTML = text; "
            "const s = document.createElement('script'); s.textContent = 'pwned()'; at.append(s); }",
            "".join(STRINGS[:40]),
        )
        page.wait_for_timeout(300)
        assert "pwned" not in page.evaluate("window.ran")
        assert any("script" in name for name in page.evaluate("window.ran")), "the policy stopped it"

"""The first page over one real decision: its chart's figures, the same as a table, limits, and deciding again."""

from __future__ import annotations

import re
from decimal import Decimal

from ibkr_assets.adapters.postgres.views.condition import free_cash
from ibkr_assets.dashboard.access import Role
from ibkr_assets.dashboard.pages.overview import account_figures, limits_used
from ibkr_assets_tests.execution.decided import FB, NYSE, SESSION, STRATEGY


def test_the_chart_has_the_turn_of_the_signal_at_its_bar_and_the_fill_at_the_next(held_browser) -> None:
    found = held_browser(Role.VIEWER).get(f"/api/chart/{FB.conid}").json()
    opened = int(SESSION.opens_at.timestamp())
    (turn,) = found["turns"]
    assert (turn["time"], turn["strategy"]) == (opened, STRATEGY.id)
    assert turn["direction"] in ("long", "short")
    assert opened in [bar["time"] for bar in found["bars"]]
    assert {fill["side"] for fill in found["fills"]} == {"BUY" if turn["direction"] == "long" else "SELL"}
    assert {fill["time"] for fill in found["fills"]} <= {
        opened,
        int(NYSE.next_session(SESSION.day).opens_at.timestamp()),
    }


def test_the_table_beside_the_chart_has_the_same_turns_and_fills(held_browser) -> None:
    client = held_browser(Role.VIEWER)
    (turn,) = client.get(f"/api/chart/{FB.conid}").json()["turns"]
    page = client.get("/?symbol=FB").text
    assert f"<td>{STRATEGY.id} {turn['direction']}</td>" in page
    assert re.search(r"<td>(buy|sell) [\d.]+ at [\d.]+", page)


def test_limits_say_how_much_is_left_until_orders_end_and_until_the_kill(held_app) -> None:
    sources = held_app.state.sources
    account = account_figures(sources)
    limits = sources.settings.risk.limits()
    rows = {row["name"]: row for row in limits_used(sources, account)}
    day = account["losses"].of_day
    lost = max(day.base - day.nav, Decimal(0))
    assert rows["Loss today, to the kill"]["limit"] == limits.day_loss_kill_fraction * day.base
    assert rows["Loss today, to the kill"]["left"] == limits.day_loss_kill_fraction * day.base - lost
    assert rows["Loss today, to no new orders"]["left"] < rows["Loss today, to the kill"]["left"]
    assert all(0 <= row["fraction"] <= 1 for row in rows.values())


def test_buying_power_is_the_cash_that_a_rule_finds_free_without_its_reserve(held_app, held_browser) -> None:
    sources = held_app.state.sources
    at = account_figures(sources)["at"]
    free = free_cash(sources.database, sources.account_ref, sources.settings.mode, at)
    assert free is not None
    wanted = free / (1 + sources.limits().cash_reserve_fraction)
    assert 0 < wanted < free
    page = held_browser(Role.VIEWER).get("/").text
    assert f"<dt>Buying power</dt><dd>{wanted:,.2f}<small>settled cash</small>" in page


def test_a_signal_can_be_decided_again_by_who_may_launch_runs(held_browser) -> None:
    label = f'aria-label="decide FB by {STRATEGY.id} on {SESSION.day} again"'
    assert label in held_browser(Role.OPERATOR).get("/signals").text
    assert label not in held_browser(Role.VIEWER).get("/signals").text

"""The first page: what the account is worth, how near its limits, how far the pipeline is, what happens now."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ibkr_assets.adapters import dagster_pages
from ibkr_assets.adapters.postgres.account_history import load_history
from ibkr_assets.adapters.postgres.views import orders as order_rows
from ibkr_assets.adapters.postgres.views import research
from ibkr_assets.adapters.postgres.views.condition import condition, free_cash, losses
from ibkr_assets.adapters.postgres.views.figures import benchmark
from ibkr_assets.dashboard.drawing import curve
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources, card
from ibkr_assets.domain.errors import InputError
from ibkr_assets.portfolio.statement import results_by_position

router = APIRouter()

_BARS = 250
_SESSION = timedelta(hours=6, minutes=30)
_PRICES = ("open", "high", "low", "close", "volume")
_NEW_YORK = ZoneInfo("America/New_York")


@router.get("/")
def overview(request: Request, symbol: str = "") -> Response:
    """Everything at a glance; each card fails alone."""
    sources: Sources = request.app.state.sources
    instruments = card(lambda: research.list_instruments(sources.database))
    chosen = _choose(instruments.value or [], symbol)
    account = card(lambda: account_figures(sources))
    return render(
        request,
        "overview.html",
        account=account,
        used=card(lambda: limits_used(sources, account.value or {})),
        stages=card(lambda: _stages(sources)),
        signals=card(lambda: research.list_signals(sources.database, sources.account_ref, limit=8)),
        open_orders=card(lambda: order_rows.list_orders(sources.database, sources.account_ref, is_open=True, limit=8)),
        runs=card(lambda: _runs(sources)),
        instruments=instruments,
        chosen=chosen,
        bars=card(lambda: _bars_with_events(sources, chosen["conid"]) if chosen else []),
    )


@router.get("/api/chart/{conid}")
def chart(request: Request, conid: int) -> Response:
    """Bars with indicators, signals and fills of one instrument, times in seconds of the epoch, for the drawing."""
    sources: Sources = request.app.state.sources
    symbols = {row["conid"]: row["symbol"] for row in research.list_instruments(sources.database)}
    if conid not in symbols:
        raise InputError(f"conid: no bars of {conid}")
    rows = _bars_with_events(sources, conid)
    lines: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        for name in ("sma_10", "sma_20", "sma_50"):
            value = row["features"].get(name)
            if value is not None:
                lines.setdefault(name, []).append({"time": _seconds(row["opened_at"]), "value": value})
    return JSONResponse(
        {
            "symbol": symbols[conid],
            "bars": [
                {"time": _seconds(row["opened_at"])} | {name: row[name] for name in _PRICES}
                for row in rows
            ],
            "lines": lines,
            "fills": [
                {"time": _seconds(row["opened_at"]), "side": fill["side"], "quantity": str(fill["quantity"]),
                 "price": str(fill["price"])}
                for row in rows for fill in row["fills"]
            ],
            "turns": [
                {"time": _seconds(row["opened_at"]), "strategy": turn["strategy_id"], "direction": turn["direction"]}
                for row in rows for turn in row["turns"]
            ],
        }
    )  # fmt: skip


def account_figures(sources: Sources) -> dict[str, Any]:
    """The account's figures in USD, and its curve. Empty before the first comparison with the broker."""
    history = load_history(sources.database, sources.account_ref)
    if not history.valuations:
        return {}
    newest = history.valuations[-1]
    held = [row for row in results_by_position(history) if row.quantity]
    known = [row.value for row in held if row.value is not None]
    is_priced = len(known) == len(held)
    gross, net = sum(map(abs, known), Decimal(0)), sum(known, Decimal(0))
    midnight = datetime.combine(newest.at.astimezone(_NEW_YORK), time(), _NEW_YORK)
    lost = losses(sources.database, sources.account_ref, midnight)
    of_day = None if lost is None else lost.of_day
    first = history.valuations[0]
    held_equally = [
        # A bar's close is worth what it says at the end of its session, and what it began with at the first valuation.
        (min(max(at + _SESSION, first.at), newest.at), float(first.nav) * ratio)
        for at, ratio in benchmark(sources.database, sources.settings.market.symbols, first.at, newest.at)
    ]
    return {
        "nav": newest.nav,
        "cash": newest.nav - net if is_priced else None,
        "buying_power": _buying_power(sources, newest.at),
        "day_change": None if of_day is None else of_day.nav - of_day.base,
        "day_fraction": None if of_day is None or of_day.fraction is None else of_day.nav / of_day.base - 1,
        "gross": gross if is_priced else None,
        "net": net if is_priced else None,
        "gross_fraction": gross / newest.nav if is_priced else None,
        "losses": lost,
        "drawdown": None if lost is None else lost.from_peak.fraction,
        "at": newest.at,
        "since": first.at,
        "curve": curve([(valuation.at, float(valuation.nav)) for valuation in history.valuations], beside=held_equally),
        "benchmark": held_equally[-1][1] / held_equally[0][1] - 1 if held_equally else None,
        "lowest": min(valuation.nav for valuation in history.valuations),
        "highest": max(valuation.nav for valuation in history.valuations),
        "change": float(newest.nav / history.valuations[0].nav) - 1,
    }


def _buying_power(sources: Sources, at: datetime) -> Decimal | None:
    """What may be bought for, in USD: the cash that R18 finds free, with its reserve taken off; no margin is used.

    `at` is the valuation's time: a sale that has settled since counts from the next valuation on.
    """
    free = free_cash(sources.database, sources.account_ref, sources.settings.mode, at)
    return None if free is None else max(free / (1 + sources.limits().cash_reserve_fraction), Decimal(0))


def limits_used(sources: Sources, account: dict[str, Any]) -> list[dict[str, Any]]:
    """How much of each daily limit is used: the fraction, and both figures; without `account` only counts."""
    limits = sources.limits()
    market_at = condition(sources.database, sources.account_ref)["market_at"]
    nav = account.get("nav")
    used: list[tuple[str, Any, Any, str]] = []
    if market_at is not None:
        today = order_rows.approved_today(sources.database, sources.account_ref, market_at)
        used = [
            ("Orders today", today["orders"], limits.max_orders_per_day, ""),
            ("Largest order", today["largest_usd"], limits.max_order_value_usd, "USD"),
        ]
        if nav is not None:
            most = limits.max_daily_notional_nav_fraction * nav
            used.append(("Notional today", today["notional_usd"], most, "USD"))
    if nav is not None:
        used.append(("Gross exposure", account["gross"], limits.max_gross_nav_fraction * nav, "USD"))
    lost = account.get("losses")
    if lost is not None and lost.of_day.fraction is not None and lost.from_peak.fraction is not None:
        day, peak = lost.of_day, lost.from_peak
        used += [
            ("Loss today, to no new orders", day.amount, limits.day_loss_disarm_fraction * day.base, "USD"),
            ("Loss today, to the kill", day.amount, limits.day_loss_kill_fraction * day.base, "USD"),
            ("Below the peak, to no new orders", peak.amount, limits.drawdown_disarm_fraction * peak.base, "USD"),
        ]
    return [
        {
            "name": name,
            "used": value,
            "limit": limit,
            "unit": unit,
            "fraction": _fraction(value, limit),
            "left": None if value is None else max(limit - value, Decimal(0)),
        }
        for name, value, limit, unit in used
    ]


def _fraction(value: Decimal | None, limit: Decimal) -> float | None:
    """How much of a limit is used, at most all of it; a limit of nothing is used up."""
    if value is None:
        return None
    return min(float(value) / float(limit), 1.0) if limit else 1.0


def _stages(sources: Sources) -> list[dict[str, Any]]:
    """The pipeline from Postgres; Dagster adds its checks where it answers."""
    states = card(lambda: _asset_states(sources))
    by_name = {state["asset"]: state for state in states.value or []}
    unknown: dict[str, Any] = {"checks": [], "run_id": None, "at": None}
    rows = []
    for row in research.stages(sources.database):
        seen = by_name.get(row["stage"], unknown)
        rows.append(row | {"checks": seen["checks"], "run_id": seen["run_id"], "made_at": seen["at"]})
    return rows


def _asset_states(sources: Sources) -> list[dict[str, Any]]:
    with sources.dagster() as dagster:
        return dagster_pages.asset_states(dagster)


def _runs(sources: Sources) -> list[dict[str, Any]]:
    with sources.dagster() as dagster:
        return dagster_pages.list_runs(dagster, limit=6)


def _choose(instruments: list[dict[str, Any]], symbol: str) -> dict[str, Any] | None:
    return next((row for row in instruments if row["symbol"] == symbol), instruments[0] if instruments else None)


def _bars_with_events(sources: Sources, conid: int) -> list[dict[str, Any]]:
    """The newest bars, oldest first, each with the `fills` and the `turns` of signals that fell into it."""
    rows = [row | {"fills": [], "turns": []} for row in research.list_bars(sources.database, conid, _BARS)]
    if not rows:
        return []
    since = rows[0]["opened_at"]
    openings = [row["opened_at"] for row in rows]
    fills = order_rows.list_fills(sources.database, sources.account_ref, conid=conid, limit=500)
    for fill in reversed(fills):
        if fill["executed_at"] >= since:
            rows[bisect_right(openings, fill["executed_at"]) - 1]["fills"].append(fill)
    for turn in research.list_turns(sources.database, conid, since):
        rows[bisect_right(openings, turn["as_of"]) - 1]["turns"].append(turn)
    return rows


def _seconds(at: datetime) -> int:
    return int(at.timestamp())

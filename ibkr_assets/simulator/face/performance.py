"""Handlers of performance reports: values and returns over a period, and the transactions of a contract.

Past values are `simulator.performance`'s. Returns are time-weighted: what came in without a trade is no gain. A period
ends at the last session that opened, with the newest prices.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from ibkr_assets.simulator.account import ZERO
from ibkr_assets.simulator.face.balances import foreign_cash_value
from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call, read_digits
from ibkr_assets.simulator.face.formats import millis, money
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.performance import DayValue

_EASTERN = ZoneInfo("America/New_York")
_DAYS = {"1D": 1, "7D": 7, "1M": 30, "3M": 91, "6M": 182, "12M": 365, "1Y": 365}
_ALL_PERIODS = ("1D", "7D", "MTD", "1M", "YTD", "1Y")
_FOUR_PLACES = Decimal("0.0001")
_MOST_DAYS = 10_000


def performance(call: Call) -> Answer:
    """Daily values and cumulative returns of one period, and its monthly returns."""
    body = call.json_object()
    account = _account(call, body)
    period = body.get("period", "12M")
    if not isinstance(period, str) or (period not in _DAYS and period not in ("MTD", "YTD")):
        raise BadRequest(f"Bad Request: period is not one of {', '.join([*_DAYS, 'MTD', 'YTD'])}: {period}")
    history = _history(call.gateway)
    before, days = _cut(history, period)
    dates = [_compact(value.day) for value in days]
    about = {"idType": "acctid", "id": account, "baseCurrency": "USD", "start": dates[0], "end": dates[-1]}
    values = [money(value.value) for value in days]
    monthly = [
        (f"{month:%Y%m}", list(group)) for month, group in groupby(days, key=lambda value: value.day.replace(day=1))
    ]
    starts = [before, *(group[-1] for _, group in monthly[:-1])]
    of_month = [_returns(start, group)[-1] for start, (_, group) in zip(starts, monthly, strict=True)]
    return Answer(
        {
            "currencyType": "base", "rc": 0, "nd": (days[-1].day - days[0].day).days + 1, "pm": "TWR",
            "id": "getPerformanceData", "included": [account],
            "nav": {"data": [about | {"navs": values, "startNAV": _start(before)}], "freq": "D", "dates": dates},
            "cps": {"data": [about | {"returns": _returns(before, days)}], "freq": "D", "dates": dates},
            "tpps": {"data": [about | {"returns": of_month}], "freq": "M", "dates": [month for month, _ in monthly]},
        }
    )  # fmt: skip


def all_periods(call: Call) -> Answer:
    """The same for all periods at once, by account."""
    account = _account(call, call.json_object())
    history = _history(call.gateway)
    report: dict[str, Any] = {}
    for period in _ALL_PERIODS:
        before, days = _cut(history, period)
        report[period] = {
            "nav": [money(value.value) for value in days], "cps": _returns(before, days), "freq": "D",
            "dates": [_compact(value.day) for value in days], "startNAV": _start(before),
        }  # fmt: skip
    year = report["1Y"]["dates"]
    now = call.gateway.venue.now.astimezone(_EASTERN)
    report |= {
        "lastSuccessfulUpdate": f"{now:%Y-%m-%d %H:%M:%S}", "start": year[0], "end": year[-1],
        "periods": list(_ALL_PERIODS), "baseCurrency": "USD",
    }  # fmt: skip
    return Answer(
        {
            "currencyType": "base", "rc": 0, "view": [account], "nd": len(year), "id": "getPerformanceAllPeriods",
            "included": [account], "pm": "TWR", account: report,
        }
    )  # fmt: skip


def transactions(call: Call) -> Answer:
    """Executions of contracts in the last `days`, newest first, and the profit they took."""
    body = call.json_object()
    account = _account(call, body)
    conids, days = body.get("conids"), body.get("days", 90)
    if not isinstance(conids, list) or not conids or any(read_digits(str(c)) is None for c in conids):
        raise BadRequest("Bad Request: conids is missing or no list of contract ids")
    if not isinstance(days, int) or isinstance(days, bool) or not 0 < days <= _MOST_DAYS:
        raise BadRequest(f"Bad Request: days must be in 1..{_MOST_DAYS}")
    if body.get("currency", "USD") != "USD":
        raise BadRequest("Bad Request: currency must be USD")
    gateway, wanted = call.gateway, {int(conid) for conid in conids}
    now = gateway.venue.now
    since = now - timedelta(days=days)
    _read(gateway)
    rows = [
        {
            "date": _java_time(execution.executed_at), "cur": "USD", "fxRate": 1, "pr": money(execution.price),
            "qty": money(execution.signed_quantity), "acctid": account,
            "amt": money(-execution.signed_quantity * execution.price), "conid": execution.conid,
            "type": "Buy" if execution.side == "BUY" else "Sell",
            "desc": gateway.tape.contracts[execution.conid].company,
        }
        for execution in reversed(gateway.venue.book.executions)
        if execution.conid in wanted and execution.executed_at >= since
    ]  # fmt: skip
    earned = [one for one in gateway.nav_history.earnings if one.conid in wanted and one.at >= since]
    profits = [
        {
            "date": f"{one.at.astimezone(_EASTERN):%Y%m%d}", "cur": "USD", "fxRate": 1,
            "side": "G" if one.amount > 0 else "L", "acctid": account, "amt": f"{abs(one.amount):f}",
            "conid": str(one.conid),
        }
        for one in earned
    ]  # fmt: skip
    total = sum((one.amount for one in earned), ZERO)
    return Answer(
        {
            "rc": 0, "nd": days, "rpnl": {"data": profits, "amt": f"{total:f}"}, "currency": "USD",
            "from": millis(since), "to": millis(now), "id": "getTransactions", "includesRealTime": True,
            "transactions": rows,
        }
    )  # fmt: skip


def _account(call: Call, body: dict[str, Any]) -> str:
    accounts = body.get("acctIds")
    if not isinstance(accounts, list) or not accounts:
        raise BadRequest("Bad Request: acctIds is missing or no list of accounts")
    for name in accounts:
        if name != call.gateway.options.account:
            raise BadRequest(f"accountId is not valid: {name}")
    return call.gateway.options.account


def _read(gateway: Gateway) -> None:
    gateway.nav_history.read(gateway.ledger.all_rows(), gateway.venue.now)


def _history(gateway: Gateway) -> list[DayValue]:
    """The value before the first session, at every close, and now where a session has opened since."""
    _read(gateway)
    abroad, venue = foreign_cash_value(gateway), gateway.venue
    days = [DayValue(one.day, one.value + abroad, one.flow) for one in gateway.nav_history.days]
    index = gateway.tape.opened_index(venue.now)
    today = gateway.tape.sessions[index].day if index >= 0 else venue.now.date()
    first = days[0].day if days else today
    start = DayValue(first - timedelta(days=1), gateway.nav_history.opening_cash + abroad, ZERO)
    now = DayValue(today, venue.net_liquidation() + abroad, gateway.nav_history.flow)
    return [start, *days] if days and days[-1].day == today else [start, *days, now]


def _cut(history: Sequence[DayValue], period: str) -> tuple[DayValue, list[DayValue]]:
    """The value before the period, and those of its days; at least the last one."""
    last = history[-1].day
    if period in _DAYS:
        first = last - timedelta(days=_DAYS[period] - 1)
    else:
        first = last.replace(day=1) if period == "MTD" else last.replace(month=1, day=1)
    inside = [value for value in history[1:] if value.day >= first]
    return history[len(history) - len(inside) - 1], inside


def _returns(before: DayValue, days: Sequence[DayValue]) -> list[float]:
    """Cumulative time-weighted returns since `before`."""
    grown, last, returns = Decimal(1), before.value, []
    for value in days:
        base = last + value.flow
        grown *= value.value / base if base > 0 else Decimal(1)
        last = value.value
        returns.append(money((grown - 1).quantize(_FOUR_PLACES)))
    return returns


def _start(before: DayValue) -> dict[str, Any]:
    return {"date": _compact(before.day), "val": money(before.value)}


def _compact(day: date) -> str:
    return f"{day:%Y%m%d}"


def _java_time(moment: datetime) -> str:
    """`Mon Dec 11 00:00:00 EST 2023`: the day, in New York."""
    return f"{moment.astimezone(_EASTERN):%a %b %d 00:00:00 %Z %Y}"

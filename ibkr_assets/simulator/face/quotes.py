"""What is known of a contract's quote at a market time, by IBKR's field ids.

Snapshots and the websocket tell it, each in its own rounds (`snapshots`, `feeds_quotes`). A tape knows one price at a
time; bid and ask stand a tick around it. Greeks and implied volatility are nobody's for a stock, and stay away.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from statistics import stdev
from zoneinfo import ZoneInfo

from ibkr_assets.simulator.account import Holding
from ibkr_assets.simulator.bars import TapeBar
from ibkr_assets.simulator.face.formats import price_text, short_volume, size_text
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.tape import LastPrice, Tape
from ibkr_assets.simulator.ticks import tick_at

_EASTERN = ZoneInfo("America/New_York")
#: How late a delayed feed is.
QUOTE_DELAY = timedelta(minutes=15)
_YEAR_SESSIONS, _VOLUME_SESSIONS, _VOLATILITY_SESSIONS = 252, 90, 31
#: Fields that are sums over the past, made only when somebody asks.
_PAST = frozenset({"7282", "7284", "7293", "7294"})


def fields_of(gateway: Gateway, conid: int, wanted: Collection[str]) -> dict[str, str]:
    """The wanted fields that there are, as text. `conid` must be on the tape."""
    contract = gateway.tape.contracts[conid]
    availability = gateway.options.market_data
    known = {
        "55": contract.symbol, "58": contract.company, "6004": contract.exchange, "6008": str(conid), "6070": "STK",
        "7051": contract.company, "7221": contract.exchange, "6509": availability,
    }  # fmt: skip
    now = gateway.venue.now - (QUOTE_DELAY if availability.startswith("D") else timedelta(0))
    last = gateway.tape.last_price(conid, now)
    if last is None or availability.startswith("N"):
        known["6509"] = "N"
    else:
        known |= _prices(gateway.tape, conid, last, now)
        known |= _position(gateway, conid, last.price)
        if not _PAST.isdisjoint(wanted):
            known |= _past(gateway.tape, conid, now)
    return {name: known[name] for name in wanted if name in known}


def _prices(tape: Tape, conid: int, last: LastPrice, now: datetime) -> dict[str, str]:
    is_today = last.session.day == now.astimezone(_EASTERN).date()
    text, tick = price_text(last.price), tick_at(last.price)
    known = {
        "31": text if is_today else f"C{text}", "84": price_text(last.price - tick),
        "86": price_text(last.price + tick), "85": "1,300", "88": "1,100", "7059": "100", "7057": "K", "7058": "K",
        "7068": "K", "7635": text,
    }  # fmt: skip
    bar = tape.known_bar(conid, last.session, now)
    if bar is not None:
        known |= {
            "70": price_text(bar.high), "71": price_text(bar.low), "7295": price_text(bar.open),
            "87": short_volume(bar.volume), "7762": str(bar.volume),
        }  # fmt: skip
    if last.is_close:
        known["7296"] = text
    before = tape.previous_close(conid, now)
    if before is not None:
        change = last.price - before
        known |= {"7741": price_text(before), "82": price_text(change), "83": f"{change / before * 100:.2f}%"}
    return known


def _position(gateway: Gateway, conid: int, price: Decimal) -> dict[str, str]:
    """What is held of the contract; nothing where nothing is."""
    held: Holding | None = gateway.venue.book.account.holdings.get(conid)
    if held is None or not held.quantity:
        return {}
    cost = held.quantity * held.average_price
    profit = held.quantity * price - cost
    before = gateway.tape.previous_close(conid, gateway.venue.now)
    today = held.quantity * (price - before) if before is not None else Decimal(0)
    return {
        "73": f"{held.quantity * price:.2f}", "74": f"{held.average_price:.2f}", "75": f"{profit:.2f}",
        "76": size_text(held.quantity), "77": f"{profit:,.0f}", "78": f"{today:.2f}", "79": f"{held.realized:.2f}",
        "80": f"{profit / abs(cost) * 100:.2f}%" if cost else "0.00%", "7920": f"{today:.2f}",
    }  # fmt: skip


def _past(tape: Tape, conid: int, now: datetime) -> dict[str, str]:
    """Average volume of 90 sessions, volatility of 30 daily returns, high and low of a year."""
    bars = _finished(tape, conid, now)
    if not bars:
        return {}
    volumes = [bar.volume for bar in bars[-_VOLUME_SESSIONS:]]
    known = {
        "7282": short_volume(sum(volumes) // len(volumes)),
        "7293": price_text(max(bar.high for bar in bars)), "7294": price_text(min(bar.low for bar in bars)),
    }  # fmt: skip
    closes = [float(bar.close) for bar in bars[-_VOLATILITY_SESSIONS:]]
    returns = [math.log(b / a) for a, b in pairwise(closes)]
    if len(returns) > 1:
        known["7284"] = f"{stdev(returns) * math.sqrt(_YEAR_SESSIONS) * 100:.1f}%"
    return known


def _finished(tape: Tape, conid: int, now: datetime) -> Sequence[TapeBar]:
    stop = tape.opened_index(now) + 1
    sessions = tape.sessions[max(stop - _YEAR_SESSIONS, 0) : stop]
    bars = (tape.bar(conid, session.day) for session in sessions if session.closes_at <= now)
    return [bar for bar in bars if bar is not None]

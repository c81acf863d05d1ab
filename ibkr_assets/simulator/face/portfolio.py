"""Handlers of positions and their profits. All but profit and loss answer without a brokerage session.

Average cost is the price without commissions. First reads of a session are sparse, as IBKR's are, and the paged list
may be old. What the account is worth is `balances`'s work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ibkr_assets.simulator.account import ZERO, Holding
from ibkr_assets.simulator.face.accounts import check_account
from ibkr_assets.simulator.face.balances import foreign_cash_value
from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call, read_digits
from ibkr_assets.simulator.face.formats import money, seconds
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.session_memory import PositionsRead
from ibkr_assets.simulator.ticks import increment_rules

_PAGE_SIZE = 100
_NO_SECTOR = "Others"


def _held(gateway: Gateway) -> list[tuple[int, Holding, Decimal]]:
    """Contract, a copy of the holding, and the newest price in USD."""
    holdings = gateway.venue.book.account.holdings
    return [(c, replace(holdings[c]), gateway.venue.last_price(c)) for c in sorted(holdings) if holdings[c].quantity]


def _held_once(gateway: Gateway) -> Sequence[tuple[int, Holding, Decimal]]:
    """The same as it was when the session first asked, until that is too old."""
    memory, now = gateway.session.memory, gateway.venue.now
    read = memory.positions
    if read is None or (now - read.at).total_seconds() >= gateway.options.stale_positions_s:
        memory.positions = read = PositionsRead(now, tuple(_held(gateway)))
    return read.rows


def positions(call: Call) -> Answer:
    """A page of positions, `sort`ed by a field of theirs if asked; a session's first read has fewer fields."""
    check_account(call)
    page = read_digits(call.params["page"])
    if page is None:
        raise BadRequest(f"Bad Request: page is no number: {call.params['page']}")
    gateway, memory = call.gateway, call.gateway.session.memory
    rows = [_row(gateway, *held, is_full=memory.is_positions_primed) for held in _held_once(gateway)]
    key = call.query.get("sort", "")
    if rows and isinstance(rows[0].get(key), str | int | float):
        rows.sort(key=lambda row: row[key], reverse=call.query.get("direction", "") in ("d", "desc"))
    memory.is_positions_primed = True
    start = page * _PAGE_SIZE
    return Answer(rows[start : start + _PAGE_SIZE])


def position(call: Call) -> Answer:
    """The one row of a contract, or none."""
    check_account(call)
    return Answer(_rows_of(call))


def position_everywhere(call: Call) -> Answer:
    """The same by account."""
    return Answer({call.gateway.options.account: _rows_of(call)})


def _rows_of(call: Call) -> list[dict[str, Any]]:
    conid = call.conid(call.params["conid"])
    return [_row(call.gateway, *held, is_full=True) for held in _held(call.gateway) if held[0] == conid]


def positions2(call: Call) -> Answer:
    """The newer list: no pages, no cache, other names, and ids as text."""
    check_account(call)
    venue = call.gateway.venue
    rows = []
    for conid, holding, price in _held(call.gateway):
        rows.append(
            {
                "position": money(holding.quantity), "conid": str(conid), "avgCost": money(holding.average_price),
                "avgPrice": money(holding.average_price), "currency": "USD",
                "description": venue.tape.contracts[conid].symbol, "isLastToLoq": False,
                "marketPrice": money(price), "marketValue": money(holding.quantity * price),
                "realizedPnl": money(holding.realized), "secType": "STK", "timestamp": seconds(venue.now),
                "unrealizedPnl": money(holding.quantity * (price - holding.average_price)), "assetClass": "STK",
                "sector": None, "group": None, "model": "",
            }
        )  # fmt: skip
    return Answer(rows)


def invalidate(call: Call) -> Answer:
    """Drops what the paged list remembers."""
    check_account(call)
    call.gateway.session.memory.positions = None
    return Answer({"message": "success"})


def allocation(call: Call) -> Answer:
    """Values by asset class, sector and group."""
    check_account(call)
    venue = call.gateway.venue
    values = [holding.quantity * price for _, holding, price in _held(call.gateway)]
    long, short = sum((v for v in values if v > 0), ZERO), sum((v for v in values if v < 0), ZERO)
    cash = venue.book.account.cash + foreign_cash_value(call.gateway)
    classes = {"long": {"STK": money(long)} if long else {}, "short": {"STK": money(short)} if short else {}}
    classes["long" if cash >= 0 else "short"]["CASH"] = money(cash)
    others = {
        "long": {_NO_SECTOR: money(long)} if long else {}, "short": {_NO_SECTOR: money(short)} if short else {},
    }  # fmt: skip
    return Answer({"assetClass": classes, "sector": others, "group": others})


def pnl(call: Call) -> Answer:
    """Profit and loss of the account, of the day from what is held now; empty at a session's first call."""
    memory = call.gateway.session.memory
    if not memory.is_pnl_primed:
        memory.is_pnl_primed = True
        return Answer({"upnl": {}})
    return Answer({"upnl": {f"{call.gateway.options.account}.Core": pnl_row(call.gateway)}})


def pnl_row(gateway: Gateway) -> dict[str, Any]:
    """Profit of the day and so far, and what the account is worth, in USD."""
    venue = gateway.venue
    account = venue.book.account
    nav = venue.net_liquidation() + foreign_cash_value(gateway)
    today = sum((h.quantity * _move(gateway, conid, price) for conid, h, price in _held(gateway)), ZERO)
    return {
        "rowType": 1,
        "dpl": money(today),
        "nl": money(nav),
        "upl": money(account.unrealized(venue.last_price)),
        "el": money(venue.available_funds()),
        "mv": money(account.stock_value(venue.last_price)),
    }


def _move(gateway: Gateway, conid: int, price: Decimal) -> Decimal:
    """What a share gained since the previous close."""
    before = gateway.tape.previous_close(conid, gateway.venue.now)
    return price - before if before is not None else ZERO


def _row(gateway: Gateway, conid: int, holding: Holding, price: Decimal, *, is_full: bool) -> dict[str, Any]:
    contract = gateway.tape.contracts[conid]
    row: dict[str, Any] = {
        "acctId": gateway.options.account, "conid": conid, "contractDesc": contract.symbol,
        "position": money(holding.quantity), "mktPrice": money(price), "mktValue": money(holding.quantity * price),
        "currency": "USD", "avgCost": money(holding.average_price), "avgPrice": money(holding.average_price),
        "realizedPnl": money(holding.realized),
        "unrealizedPnl": money(holding.quantity * (price - holding.average_price)),
        "exchs": None, "expiry": None, "putOrCall": None, "multiplier": None, "strike": 0.0, "exerciseStyle": None,
        "conExchMap": [], "assetClass": "STK", "undConid": 0, "model": "",
    }  # fmt: skip
    if is_full:
        row |= {
            "multiplier": 0.0, "strike": "0", "time": 30, "chineseName": contract.chinese_name,
            "allExchanges": f"SMART,{contract.exchange}", "listingExchange": contract.exchange, "countryCode": "US",
            "name": contract.company, "lastTradingDay": None, "group": None, "sector": None, "sectorGroup": None,
            "ticker": contract.symbol, "type": contract.kind, "hasOptions": False, "fullName": contract.symbol,
            "isUS": True, "incrementRules": increment_rules(price),
            "displayRule": {
                "magnification": 0,
                "displayRuleStep": [{"decimalDigits": 2, "lowerEdge": 0.0, "wholeDigits": 4}],
            },
            "isEventContract": False, "pageSize": _PAGE_SIZE,
        }  # fmt: skip
    return row

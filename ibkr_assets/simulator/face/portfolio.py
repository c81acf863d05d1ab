"""Handlers of money and positions. They answer without a brokerage session.

The sums are `simulator.account`'s. Average cost is the price without commissions. First reads of a session are
sparse, as IBKR's are.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ibkr_assets.simulator.account import ZERO, Holding
from ibkr_assets.simulator.face.accounts import check_account
from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call
from ibkr_assets.simulator.face.formats import millis, money, seconds
from ibkr_assets.simulator.gateway import Gateway

_PAGE_SIZE = 100
_NO_SECTOR = "Others"


def _held(gateway: Gateway) -> list[tuple[int, Holding]]:
    return sorted((c, h) for c, h in gateway.venue.book.account.holdings.items() if h.quantity)


def ledger(call: Call) -> Answer:
    """Cash by currency: USD, and the same as base."""
    check_account(call)
    venue = call.gateway.venue
    account = venue.book.account
    zeros = dict.fromkeys(
        (
            "commoditymarketvalue", "futuremarketvalue", "corporatebondsmarketvalue", "warrantsmarketvalue",
            "interest", "moneyfunds", "funds", "issueroptionsmarketvalue", "stockoptionmarketvalue",
            "futuresonlypnl", "tbondsmarketvalue", "futureoptionmarketvalue", "cashbalancefxsegment",
            "tbillsmarketvalue", "cryptocurrencyvalue",
        ),
        0.0,
    )  # fmt: skip
    realized = sum((holding.realized for holding in account.holdings.values()), ZERO)
    entry = zeros | {
        "cashbalance": money(account.cash),
        "settledcash": money(account.cash),
        "dividends": money(account.accrued_dividends),
        "netliquidationvalue": money(venue.net_liquidation()),
        "stockmarketvalue": money(account.stock_value(venue.last_price)),
        "unrealizedpnl": money(account.unrealized(venue.last_price)),
        "realizedpnl": money(realized),
        "exchangerate": 1, "sessionid": 1, "acctcode": account.name, "key": "LedgerList", "severity": 0,
        "timestamp": seconds(venue.now),
    }  # fmt: skip
    usd = entry | {"currency": "USD", "secondkey": "USD", "endofbundle": 1}
    return Answer({"USD": usd, "BASE": entry | {"currency": "BASE", "secondkey": "BASE"}})


def summary(call: Call) -> Answer:
    """About a hundred keys; the ones of a stock account carry figures, the commodities segment is empty."""
    name = check_account(call)
    venue = call.gateway.venue
    account = venue.book.account
    stock, gross = account.stock_value(venue.last_price), account.gross_value(venue.last_price)
    nav, funds = venue.net_liquidation(), venue.available_funds()
    margin = call.gateway.options.initial_margin * gross
    amounts: dict[str, Decimal] = {
        "accrueddividend": account.accrued_dividends, "availablefunds": funds, "availabletotrade": funds,
        "availabletowithdraw": funds, "buyingpower": funds, "equitywithloanvalue": account.cash + stock,
        "excessliquidity": nav - margin, "fullavailablefunds": funds, "fullexcessliquidity": nav - margin,
        "fullinitmarginreq": margin, "fullmaintmarginreq": margin, "grosspositionvalue": gross,
        "initmarginreq": margin, "maintmarginreq": margin, "netliquidation": nav, "totalcashvalue": account.cash,
        "accruedcash": ZERO, "guarantee": ZERO, "pasharesvalue": ZERO, "billable": ZERO,
    }  # fmt: skip
    stamp = millis(venue.now)
    answer = {}
    for key, amount in amounts.items():
        for suffix, value in (("", amount), ("-s", amount), ("-c", ZERO)):
            answer[key + suffix] = {
                "amount": money(value), "currency": "USD", "isNull": False, "timestamp": stamp, "value": None,
                "severity": 0,
            }  # fmt: skip
    cushion = (nav - margin) / nav if nav else ZERO
    texts = {
        "accountcode": name, "accountready": "true", "accounttype": "INDIVIDUAL", "cushion": f"{cushion:.6f}",
        "daytradesremaining": "-1", "depositoncredithold": "null", "highestseverity": "null",
        "nlvandmargininreview": "false", "segmenttitle-s": "US Securities", "segmenttitle-c": "US Commodities",
        "tradingtype-s": "STKNOPT",
    }  # fmt: skip
    for key, text in texts.items():
        answer[key] = {
            "amount": 0.0, "currency": None, "isNull": False, "timestamp": stamp, "value": text, "severity": 0,
        }  # fmt: skip
    return Answer(answer)


def positions(call: Call) -> Answer:
    """A page of positions; a session's first read has fewer fields."""
    check_account(call)
    page = call.params["page"]
    if not page.isdigit():
        raise BadRequest(f"Bad Request: page is no number: {page}")
    memory = call.gateway.session.memory
    start = int(page) * _PAGE_SIZE
    rows = [
        _row(call.gateway, conid, holding, is_full=memory.is_positions_primed)
        for conid, holding in _held(call.gateway)[start : start + _PAGE_SIZE]
    ]
    memory.is_positions_primed = True
    return Answer(rows)


def position(call: Call) -> Answer:
    """The one row of a contract, or none."""
    check_account(call)
    conid = call.conid(call.params["conid"])
    return Answer([_row(call.gateway, c, h, is_full=True) for c, h in _held(call.gateway) if c == conid])


def position_everywhere(call: Call) -> Answer:
    """The same by account."""
    conid = call.conid(call.params["conid"])
    rows = [_row(call.gateway, c, h, is_full=True) for c, h in _held(call.gateway) if c == conid]
    return Answer({call.gateway.options.account: rows})


def positions2(call: Call) -> Answer:
    """The newer list: no pages, no cache, other names, and ids as text."""
    check_account(call)
    venue = call.gateway.venue
    rows = []
    for conid, holding in _held(call.gateway):
        price = venue.last_price(conid)
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
    """There is no cache to drop; IBKR says success."""
    check_account(call)
    return Answer({"message": "success"})


def allocation(call: Call) -> Answer:
    """Values by asset class, sector and group."""
    check_account(call)
    venue = call.gateway.venue
    values = [h.quantity * venue.last_price(c) for c, h in _held(call.gateway)]
    long, short = sum((v for v in values if v > 0), ZERO), sum((v for v in values if v < 0), ZERO)
    cash = venue.book.account.cash
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
    venue = call.gateway.venue
    account = venue.book.account
    nav = venue.net_liquidation()
    today = sum((h.quantity * _move(call.gateway, conid) for conid, h in _held(call.gateway)), ZERO)
    row = {
        "rowType": 1,
        "dpl": money(today),
        "nl": money(nav),
        "upl": money(account.unrealized(venue.last_price)),
        "el": money(venue.available_funds()),
        "mv": money(account.stock_value(venue.last_price)),
    }
    return Answer({"upnl": {f"{account.name}.Core": row}})


def _move(gateway: Gateway, conid: int) -> Decimal:
    """What a share gained since the previous close."""
    before = gateway.tape.previous_close(conid, gateway.venue.now)
    return gateway.venue.last_price(conid) - before if before is not None else ZERO


def _row(gateway: Gateway, conid: int, holding: Holding, *, is_full: bool) -> dict[str, Any]:
    contract = gateway.tape.contracts[conid]
    price = gateway.venue.last_price(conid)
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
            "multiplier": 0.0, "strike": "0", "time": 30, "chineseName": contract.company,
            "allExchanges": f"SMART,{contract.exchange}", "listingExchange": contract.exchange, "countryCode": "US",
            "name": contract.company, "lastTradingDay": None, "group": None, "sector": None, "sectorGroup": None,
            "ticker": contract.symbol, "type": "COMMON", "hasOptions": False, "fullName": contract.symbol,
            "isUS": True, "incrementRules": [{"lowerEdge": 0.0, "increment": 0.01}],
            "displayRule": {
                "magnification": 0,
                "displayRuleStep": [{"decimalDigits": 2, "lowerEdge": 0.0, "wholeDigits": 4}],
            },
            "isEventContract": False, "pageSize": _PAGE_SIZE,
        }  # fmt: skip
    return row

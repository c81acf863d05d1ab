"""Handlers that tell what can be traded and when. Contracts and sessions come from the tape."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ibkr_assets.domain.session import TradingSession
from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call, refusal
from ibkr_assets.simulator.face.formats import money, seconds
from ibkr_assets.simulator.listings import Contract

_EASTERN = ZoneInfo("America/New_York")
_DAYS_AHEAD = 7
_NO_CONTRACT = "No contract found"


def _contract(call: Call, text: str | None) -> Contract | None:
    return call.gateway.tape.contracts.get(call.conid(text))


def search(call: Call) -> Answer:
    """Contracts by symbol or by part of a company's name: the US listing, and others."""
    asked = {**call.query, **call.json_object()}
    symbol = str(asked.get("symbol") or "")
    if not symbol:
        raise BadRequest("Bad Request: symbol is required")
    by_name = str(asked.get("name", "")).lower() == "true"
    tape = call.gateway.tape
    found = [
        contract
        for contract in tape.contracts.values()
        if (symbol.upper() in contract.company if by_name else contract.symbol == symbol.upper())
    ]
    rows = []
    for contract in found:
        rows.append(_search_row(contract.conid, contract.symbol, contract.company, contract.exchange))
        rows += [_search_row(o.conid, contract.symbol, o.company, o.exchange) for o in contract.others]
    return Answer(rows)


def _search_row(conid: int, symbol: str, company: str, exchange: str) -> dict[str, Any]:
    return {
        "conid": str(conid), "companyHeader": f"{company} - {exchange}", "companyName": company, "symbol": symbol,
        "description": exchange, "restricted": None, "sections": [{"secType": "STK", "exchange": f"{exchange};"}],
    }  # fmt: skip


def stocks(call: Call) -> Answer:
    """Companies and their listings by symbol, in capitals only; a symbol that is not known has an empty list."""
    answer: dict[str, list[dict[str, Any]]] = {}
    for symbol in call.query.get("symbols", "").split(","):
        contract = call.gateway.tape.by_symbol.get(symbol)
        answer[symbol] = [] if contract is None else _companies(contract)
    return Answer(answer)


def _companies(contract: Contract) -> list[dict[str, Any]]:
    listings = {contract.company: [{"conid": contract.conid, "exchange": contract.exchange, "isUS": True}]}
    for other in contract.others:
        listing = {"conid": other.conid, "exchange": other.exchange, "isUS": other.is_us}
        listings.setdefault(other.company, []).append(listing)
    return [
        {"name": name, "chineseName": None, "assetClass": "STK", "contracts": contracts}
        for name, contracts in listings.items()
    ]


def secdef(call: Call) -> Answer:
    """Definitions by contract id; unknown ids are left out."""
    rows = []
    for text in call.query.get("conids", "").split(","):
        contract = _contract(call, text)
        if contract is not None:
            rows.append(
                {
                    "conid": contract.conid, "currency": "USD", "name": contract.company, "assetClass": "STK",
                    "expiry": None, "lastTradingDay": None, "group": None, "putOrCall": None, "sector": None,
                    "sectorGroup": None, "strike": "0", "ticker": contract.symbol, "undConid": 0, "multiplier": 0.0,
                    "type": "COMMON", "hasOptions": False, "fullName": contract.symbol, "isUS": True,
                    "isEventContract": False, "listingExchange": contract.exchange, "countryCode": "US",
                    "incrementRules": [{"lowerEdge": 0.0, "increment": 0.01}],
                }
            )  # fmt: skip
    return Answer({"secdef": rows})


def info(call: Call) -> Answer:
    """One contract, in names of its own."""
    contract = _contract(call, call.params["conid"])
    return Answer(_info(contract)) if contract else refusal(500, _NO_CONTRACT)


def info_and_rules(call: Call) -> Answer:
    """The same with its trading rules."""
    contract = _contract(call, call.params["conid"])
    return Answer(_info(contract) | {"rules": _rules(call, contract)}) if contract else refusal(500, _NO_CONTRACT)


def rules(call: Call) -> Answer:
    """Trading rules of a contract."""
    contract = _contract(call, str(call.json_object().get("conid")))
    return Answer(_rules(call, contract)) if contract else refusal(500, _NO_CONTRACT)


def _info(contract: Contract) -> dict[str, Any]:
    return {
        "cfi_code": "", "symbol": contract.symbol, "cusip": None, "expiry_full": None, "con_id": contract.conid,
        "maturity_date": None, "instrument_type": "STK", "has_related_contracts": True,
        "trading_class": contract.symbol, "valid_exchanges": f"SMART,{contract.exchange}", "allow_sell_long": False,
        "is_zero_commission_security": False, "local_symbol": contract.symbol, "contract_clarification_type": None,
        "classifier": None, "currency": "USD", "text": None, "underlying_con_id": 0, "r_t_h": True,
        "multiplier": None, "underlying_issuer": None, "contract_month": None, "company_name": contract.company,
        "smart_available": True, "exchange": "SMART",
    }  # fmt: skip


def _rules(call: Call, contract: Contract) -> dict[str, Any]:
    price = money(call.gateway.venue.last_price(contract.conid))
    return {
        "algoEligible": False, "allOrNoneEligible": False, "costReport": False,
        "canTradeAcctIds": [call.gateway.options.account], "error": None,
        "orderTypes": ["limit", "market", "stop", "stop_limit"],
        "tifTypes": ["IOC/MARKET,LIMIT", "GTC/o,a", "OPG/LIMIT,MARKET,a", "DAY/o,a"], "defaultSize": 100,
        "cashSize": 0.0, "sizeIncrement": 100, "cashCcy": "USD", "limitPrice": price, "stopprice": price,
        "increment": 0.01, "incrementDigits": 2, "incrementRules": [{"lowerEdge": 0.0, "increment": 0.01}],
        "hasSecondary": True, "negativeCapable": False,
    }  # fmt: skip


def trading_schedule(call: Call) -> Answer:
    """Sessions of the next days in seconds since the epoch, by New York day."""
    if _contract(call, call.query.get("conid")) is None:
        return refusal(500, _NO_CONTRACT)
    schedules = {}
    for session in _coming(call):
        opening, closing = seconds(session.opens_at), seconds(session.closes_at)
        schedules[f"{session.day:%Y%m%d}"] = {
            "liquid_hours": [{"opening": opening, "closing": closing}],
            "extended_hours": [{"cancel_daily_orders": True, "opening": opening, "closing": closing}],
        }
    return Answer({"exchange_time_zone": "US/Eastern", "schedules": schedules})


def schedule(call: Call) -> Answer:
    """The older form: times of day in the exchange's zone."""
    asked = call.query.get("conid")
    symbol = call.query.get("symbol")
    contract = _contract(call, asked) if asked else call.gateway.tape.by_symbol.get(symbol or "")
    if contract is None:
        return refusal(500, _NO_CONTRACT)
    schedules = []
    for session in _coming(call):
        opens, closes = (moment.astimezone(_EASTERN) for moment in (session.opens_at, session.closes_at))
        times = {"openingTime": f"{opens:%H%M}", "closingTime": f"{closes:%H%M}", "cancelDayOrders": "Y"}
        schedules.append(
            {
                "clearingCycleEndTime": f"{closes:%H%M}", "tradingScheduleDate": f"{session.day:%Y%m%d}",
                "sessions": [{**times, "prop": "LIQUID"}], "tradingtimes": [{**times, "prop": "LIQUID"}],
            }
        )  # fmt: skip
    venue = {"id": f"p{contract.conid}", "tradeVenueId": "v1", "exchange": contract.exchange}
    return Answer([venue | {"description": contract.exchange, "timezone": "America/New_York", "schedules": schedules}])


def _coming(call: Call) -> Sequence[TradingSession]:
    now = call.gateway.venue.now
    today = now.astimezone(_EASTERN).date()
    last = today + timedelta(days=_DAYS_AHEAD)
    return call.gateway.tape.sessions_between(today, last)

"""Handlers that tell what can be traded. Contracts come from the tape, which has stocks only: of futures and options
there are none. When something can be traded is `schedules`' work.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call, refusal
from ibkr_assets.simulator.face.formats import money
from ibkr_assets.simulator.listings import Contract
from ibkr_assets.simulator.ticks import TICK, increment_rules, tick_at

_NO_CONTRACT = "No contract found"
#: The round lot by price in USD (Regulation NMS as amended, in force since November 2025), from the price on.
_ROUND_LOTS = ((Decimal("10000.01"), 1), (Decimal("1000.01"), 10), (Decimal("250.01"), 40))


def _contract(call: Call, text: str | None) -> Contract | None:
    return call.gateway.tape.contracts.get(call.conid(text))


def search(call: Call) -> Answer:
    """Listings by symbol or by part of a company's name, in IBKR's order. Nothing found is an empty list."""
    asked = {**call.query, **call.json_object()}
    symbol = asked.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        raise BadRequest("Bad Request: symbol is required")
    by_name = str(asked.get("name", "")).lower() == "true"
    kind = asked.get("secType", "STK")
    found = [
        contract
        for contract in (call.gateway.tape.contracts.values() if kind == "STK" else ())
        if (symbol.upper() in contract.company if by_name else contract.symbol == symbol.upper())
    ]
    return Answer([row for contract in found for row in _search_rows(contract)])


def _search_rows(contract: Contract) -> list[dict[str, Any]]:
    own = _search_row(contract.conid, contract.symbol, contract.company, contract.exchange)
    others = [_search_row(o.conid, contract.symbol, o.company, o.exchange) for o in contract.others]
    return [*others, own] if contract.are_others_first else [own, *others]


def _search_row(conid: int, symbol: str, company: str, exchange: str) -> dict[str, Any]:
    return {
        "conid": str(conid), "companyHeader": f"{company} - {exchange}", "companyName": company, "symbol": symbol,
        "description": exchange, "restricted": None, "sections": [{"secType": "STK", "exchange": f"{exchange};"}],
    }  # fmt: skip


def stocks(call: Call) -> Answer:
    """Companies and their listings by symbol, in capitals only; a symbol that is not known has an empty list."""
    answer: dict[str, list[dict[str, Any]]] = {}
    for symbol in _symbols(call):
        contract = call.gateway.tape.by_symbol.get(symbol)
        answer[symbol] = [] if contract is None else _companies(contract)
    return Answer(answer)


def _companies(contract: Contract) -> list[dict[str, Any]]:
    own = (contract.company, contract.chinese_name, contract.conid, contract.exchange, True)
    others = [(o.company, o.chinese_name, o.conid, o.exchange, o.is_us) for o in contract.others]
    companies: dict[str, dict[str, Any]] = {}
    for name, chinese, conid, exchange, is_us in [*others, own] if contract.are_others_first else [own, *others]:
        empty: dict[str, Any] = {"name": name, "chineseName": chinese, "assetClass": "STK", "contracts": []}
        company = companies.setdefault(name, empty)
        company["contracts"].append({"conid": conid, "exchange": exchange, "isUS": is_us})
    return list(companies.values())


def futures(call: Call) -> Answer:
    """The tape has no futures: an empty list for each symbol."""
    return Answer({symbol: [] for symbol in _symbols(call)})


def _symbols(call: Call) -> list[str]:
    symbols = call.query.get("symbols", "")
    if not symbols:
        raise BadRequest("Bad Request: symbols is required")
    return symbols.split(",")


def all_conids(call: Call) -> Answer:
    """Every stock of an exchange, by its primary listing."""
    exchange = call.query.get("exchange", "")
    if not exchange:
        raise BadRequest("Bad Request: exchange is required")
    is_stocks = call.query.get("assetClass", "STK") == "STK"
    found = [c for c in call.gateway.tape.contracts.values() if is_stocks and c.exchange == exchange]
    return Answer([{"ticker": c.symbol, "conid": c.conid, "exchange": c.exchange} for c in found])


def strikes(call: Call) -> Answer:
    """The tape has no options: no strikes for any month."""
    if not call.query.get("sectype") or not call.query.get("month"):
        raise BadRequest("Bad Request: sectype and month are required")
    contract = _contract(call, call.query.get("conid"))
    return Answer({"call": [], "put": []}) if contract else refusal(500, _NO_CONTRACT)


def secdef_info(call: Call) -> Answer:
    """A stock by its id; derivatives of it there are none."""
    contract = _contract(call, call.query.get("conid"))
    if contract is None:
        return refusal(500, _NO_CONTRACT)
    if call.query.get("sectype", "STK") != "STK":
        return Answer([])
    return Answer(
        {
            "conid": contract.conid, "ticker": contract.symbol, "secType": "STK",
            "listingExchange": contract.exchange, "exchange": "SMART", "companyName": contract.company,
            "currency": "USD", "validExchanges": f"SMART,{contract.exchange}", "priceRendering": None,
            "maturityDate": None, "right": "?", "strike": 0.0,
        }
    )  # fmt: skip


def algos(call: Call) -> Answer:
    """No algorithms are simulated."""
    contract = _contract(call, call.params["conid"])
    return Answer({"algos": []}) if contract else refusal(500, _NO_CONTRACT)


def secdef(call: Call) -> Answer:
    """Definitions by contract id; unknown ids are left out."""
    rows = []
    if not call.query.get("conids"):
        raise BadRequest("Bad Request: conids is required")
    for text in call.query["conids"].split(","):
        contract = _contract(call, text)
        if contract is not None:
            rows.append(
                {
                    "conid": contract.conid, "currency": "USD", "name": contract.company, "assetClass": "STK",
                    "expiry": None, "lastTradingDay": None, "group": None, "putOrCall": None, "sector": None,
                    "sectorGroup": None, "strike": "0", "ticker": contract.symbol, "undConid": 0, "multiplier": 0.0,
                    "type": contract.kind, "hasOptions": False, "fullName": contract.symbol, "isUS": True,
                    "isEventContract": False, "listingExchange": contract.exchange, "countryCode": "US",
                    "incrementRules": increment_rules(call.gateway.venue.last_price(contract.conid)),
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
    last = call.gateway.venue.last_price(contract.conid)
    price, round_lot = money(last), next((lot for edge, lot in _ROUND_LOTS if last >= edge), 100)
    tick = tick_at(last)
    return {
        "algoEligible": False, "allOrNoneEligible": False, "costReport": False,
        "canTradeAcctIds": [call.gateway.options.account], "error": None,
        "orderTypes": ["limit", "market", "stop", "stop_limit"],
        "tifTypes": ["IOC/MARKET,LIMIT", "GTC/o,a", "OPG/LIMIT,MARKET,a", "DAY/o,a"], "defaultSize": 100,
        "cashSize": 0.0, "sizeIncrement": round_lot, "cashCcy": "USD", "limitPrice": price, "stopprice": price,
        "increment": float(tick), "incrementDigits": 2 if tick == TICK else 4,
        "incrementRules": increment_rules(last),
        "hasSecondary": True, "negativeCapable": False,
    }  # fmt: skip

"""A symbol to the one contract it means. An ambiguous symbol is an error: a wrong contract is a wrong order.

What goes here: IBKR's stock directory and contract definitions. Prices of a contract go to `market_data`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from ibkr_assets.adapters.ibkr import payloads
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.domain.errors import BrokerRefusal, InputError, UnreadableAnswer
from ibkr_assets.domain.instrument import Instrument

#: The smallest price step of a US stock at or above one dollar (SEC Rule 612 of Regulation NMS), for a gateway that
#: gives no increment. Below a dollar finer steps exist; a multiple of this one is valid there too.
US_STOCK_TICK = Decimal("0.01")
#: Contracts of one call for definitions; the length of an address is the limit.
DESCRIBED_AT_ONCE = 100


def resolve(session: Session, symbol: str) -> Instrument:
    """The one US stock of this symbol. Raises InputError naming the candidates where it is not exactly one."""
    if not symbol or symbol != symbol.strip().upper() or "," in symbol:
        raise InputError(f"symbol {symbol!r}: one symbol, in capitals")
    stocks = payloads.read(
        dict[str, list[payloads.Stock]], session.read("trsrv/stocks", {"symbols": symbol}), f"stocks of {symbol}"
    )
    found = [(s, c) for s in stocks.get(symbol, []) if s.assetClass in (None, "STK") for c in s.contracts]
    american = [(s, c) for s, c in found if c.isUS]
    if len(american) != 1:
        shown = ", ".join(f"{c.conid} on {c.exchange} ({s.name})" for s, c in (american or found)[:8]) or "none at all"
        raise InputError(f"symbol {symbol}: {len(american)} US stocks instead of one; candidates: {shown}")
    contract = american[0][1]
    definition = _define(session, contract.conid, symbol)
    return Instrument(
        conid=contract.conid,
        symbol=symbol,
        exchange=definition.listingExchange or contract.exchange or "SMART",
        currency=definition.currency,
        tick=_tick(session, definition),
        lot=Decimal(1),  # IBKR trades single shares of US stocks; its sizeIncrement is the round lot
    )


def describe(session: Session, conids: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Symbol and currency of contracts by conid; one that IBKR does not know any more is absent."""
    found: dict[int, tuple[str, str]] = {}
    for first in range(0, len(conids), DESCRIBED_AT_ONCE):
        chunk = conids[first : first + DESCRIBED_AT_ONCE]
        value = session.read("trsrv/secdef", {"conids": ",".join(map(str, chunk))})
        rows = payloads.read(payloads.Secdefs, value, f"definitions of {len(chunk)} contracts").secdef
        found |= {row.conid: (row.ticker, row.currency) for row in rows if row.conid in chunk and row.ticker}
    return found


def search(session: Session, symbol: str) -> list[payloads.SearchRow]:
    """Every listing that IBKR finds for a symbol; the first is not always the one that is meant."""
    if not symbol.strip():
        raise InputError("symbol: empty")
    value = session.read("iserver/secdef/search", {"symbol": symbol})
    return payloads.read(list[payloads.SearchRow], value or [], f"search of {symbol}")


def _define(session: Session, conid: int, symbol: str) -> payloads.Secdef:
    value = session.read("trsrv/secdef", {"conids": conid})
    definitions = payloads.read(payloads.Secdefs, value, f"definition of {symbol}")
    for row in definitions.secdef:
        if row.conid == conid:
            return row
    raise UnreadableAnswer(f"definition of {symbol}: conid {conid} is not in the answer")


def _tick(session: Session, definition: payloads.Secdef) -> Decimal:
    """The step of the highest price range: the coarsest, so that a price rounded to it is valid in every range."""
    if definition.incrementRules:
        return _positive(max(definition.incrementRules, key=lambda rule: rule.lowerEdge).increment, definition)
    try:
        value = session.read(f"iserver/contract/{definition.conid}/info-and-rules", {"isBuy": "true"})
    except BrokerRefusal:  # not every gateway knows this call; the definition alone is enough for a US stock
        return US_STOCK_TICK
    info = payloads.read(payloads.ContractInfo, value, f"rules of {definition.conid}")
    increment = info.rules.increment
    return US_STOCK_TICK if increment is None else _positive(increment, definition)


def _positive(increment: Decimal, definition: payloads.Secdef) -> Decimal:
    if increment <= 0:
        raise UnreadableAnswer(f"definition of {definition.ticker}: increment {increment} is not positive")
    return increment

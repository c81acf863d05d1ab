"""What the client understood of the gateway, as plain values for JSON: for a person at the command line.

Decimals are written as text and instants as ISO 8601 in UTC. Nothing here places, answers or cancels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from ibkr_assets.adapters.ibkr import contracts, history, payloads
from ibkr_assets.adapters.ibkr.client import IbkrBroker
from ibkr_assets.adapters.ibkr.market_data import IbkrMarketData
from ibkr_assets.adapters.ibkr.quotes import Quotes
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.domain.errors import BrokerRefusal, InputError
from ibkr_assets.ports import BarSource, Broker


def inspect_broker(source: BarSource, broker: Broker, what: str, **arguments: Any) -> Any:
    """Read one thing: status, accounts, summary, ledger, positions, position_check, orders, order (order_id), trades,
    search (symbol), history (conid, period, bar) or snapshot (conid).

    Raises BrokerRefusal, UnreadableAnswer, Unavailable, LoginRequired, and InputError for another `what`.
    """
    if not isinstance(source, IbkrMarketData) or not isinstance(broker, IbkrBroker):
        raise InputError(f"what {what!r}: can be read through IBKR's own client only, not {type(source).__name__}")
    if what in _MARKET_LOOKS:
        return plain(_MARKET_LOOKS[what](source.sessions, **arguments))
    if what in _ACCOUNT_LOOKS:
        return plain(_ACCOUNT_LOOKS[what](broker, **arguments))
    raise InputError(f"what {what!r}: one of {', '.join([*_MARKET_LOOKS, *_ACCOUNT_LOOKS])}")


def plain(value: Any) -> Any:
    """A value of ours as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _status(session: Session) -> Any:
    status = session.status()
    age_s = session.transport.limiter.alive_age_s()
    return {
        **plain(status),
        "is_ready": status.is_ready,
        "keep_alive_age_s": None if age_s is None else round(age_s, 1),
    }


def _accounts(broker: IbkrBroker) -> Any:
    read: payloads.Accounts = payloads.read(payloads.Accounts, broker.sessions.read("iserver/accounts"), "accounts")
    return {"accounts": read.accounts, "selected": read.selectedAccount}


def _summary(broker: IbkrBroker) -> Any:
    return {
        key: {"amount": entry.amount, "currency": entry.currency, "value": entry.value, "is_null": entry.isNull}
        for key, entry in broker.reads.summary().items()
    }


def _orders(broker: IbkrBroker) -> Any:
    read = broker.reads.settled_orders()
    return {"orders": read.orders, "is_snapshot": read.is_snapshot}


def _order(broker: IbkrBroker, order_id: str) -> Any:
    order = broker.order_status(order_id)
    if order is None:
        raise BrokerRefusal(f"order_id {order_id}: the broker does not know this order", status=503)
    return order


def _search(session: Session, symbol: str) -> Any:
    return [
        {
            "conid": row.conid,
            "symbol": row.symbol,
            "name": row.companyName,
            "exchange": row.description,
            "kinds": [s.secType for s in row.sections or [] if s.secType],
        }
        for row in contracts.search(session, symbol)
    ]


def _history(session: Session, conid: int, period: str = "1m", bar: str = "1d") -> Any:
    page = history.fetch_page(session, conid, period=period, bar=bar)
    return {
        "conid": conid,
        "symbol": page.symbol,
        "availability": page.mdAvailability,
        "volume_factor": page.volumeFactor,
        "bars": [
            {
                "opened_at": datetime.fromtimestamp(row["t"] / 1000, UTC),
                "open": str(row["o"]),
                "high": str(row["h"]),
                "low": str(row["l"]),
                "close": str(row["c"]),
                "volume": str(row["v"] * page.volumeFactor),
            }
            for row in page.data
        ],
    }


def _snapshot(session: Session, conid: int) -> Any:
    return {"conid": conid, "quote": Quotes(session).fetch([conid]).get(conid)}


_MARKET_LOOKS: dict[str, Callable[..., Any]] = {
    "status": _status,
    "search": _search,
    "history": _history,
    "snapshot": _snapshot,
}
_ACCOUNT_LOOKS: dict[str, Callable[..., Any]] = {
    "accounts": _accounts,
    "summary": _summary,
    "ledger": lambda broker: broker.cash_ledger(),
    "positions": lambda broker: broker.positions(),
    "position_check": lambda broker: broker.reads.compare_positions(),
    "orders": _orders,
    "order": _order,
    "trades": lambda broker: broker.reads.settled_trades(),
}

"""What the account has: positions, cash, orders as they stand, executions.

What goes here: which call answers which question, and IBKR's fallbacks. Translating an answer goes to `parse`;
changing anything goes to `orders`. Every read is one read as it came: what an empty list proves is `execution`'s
question.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from ibkr_assets.adapters.ibkr import parse, payloads
from ibkr_assets.adapters.ibkr.answers import accept, error_text
from ibkr_assets.adapters.ibkr.transport import segment
from ibkr_assets.domain.errors import BrokerRefusal, Unavailable, UnreadableAnswer

if TYPE_CHECKING:
    from ibkr_assets.adapters.ibkr.session import Session
    from ibkr_assets.domain.account import Fill
    from ibkr_assets.domain.broker import BrokerOrder, BrokerPosition, CashLedger, OrdersRead

TRADE_DAYS = 7
#: A list that is not whole is read again this often.
MOST_ORDER_READS = 3
#: The older positions endpoint never has more pages than this; a gateway that says so is not believed.
MOST_PAGES = 100
#: How a gateway refuses a call that it does not have.
_MISSING = frozenset({404, 405, 501})
#: What the status call answers for an order it does not know; it also does so in trouble.
_UNKNOWN_ORDER = frozenset({404, 503})
_NO_SUCH_ORDER = re.compile(r"doesn't exist|order.{0,20}not found", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PositionCheck:
    """One position as both endpoints have it; None where one does not show it."""

    conid: int
    symbol: str
    quantity: Decimal | None
    cached_quantity: Decimal | None


class AccountReads:
    """Reads of one account."""

    def __init__(self, session: Session, account: str) -> None:
        self._session = session
        self._account = account

    def live_orders(self) -> OrdersRead:
        """See `ports.Broker.live_orders`. Never filtered: a filter also narrows later, unfiltered lists."""
        self._session.prime()
        value = self._session.read("iserver/account/orders")
        return parse.orders_read(payloads.read(payloads.LiveOrders, value, "orders"), self._account)

    def settled_orders(self) -> OrdersRead:
        """The order list, read until it means something: a whole one, or the last of a few that are not.

        The first list of a session is empty and proves nothing; `OrdersRead.presence` tells what each does.
        """
        for _ in range(MOST_ORDER_READS):
            read = self.live_orders()
            if read.is_snapshot:
                break
        return read

    def order_status(self, broker_order_id: str) -> BrokerOrder | None:
        """See `ports.Broker.order_status`. Raises Unavailable where the gateway is in trouble."""
        self._session.prime()
        path = f"iserver/account/order/status/{segment(broker_order_id)}"
        answer = self._session.fetch(path, is_again=lambda _: False)
        if answer.status in _UNKNOWN_ORDER or (answer.is_json and _NO_SUCH_ORDER.search(error_text(answer))):
            # IBKR answers 503 for an unknown order and in trouble; only a session in good order tells which.
            if not self._session.status().is_ready:
                raise Unavailable(f"order status: the gateway answered {answer.status} and its session is not ready")
            return None
        value = accept(answer, path)
        order = payloads.read(payloads.OrderStatus, value, "order status")
        if order.account not in (None, self._account):
            raise UnreadableAnswer("order status: of another account")
        return parse.order_status(order)

    def trades(self) -> tuple[Fill, ...]:
        """See `ports.Broker.trades`."""
        self._session.prime()
        value = self._session.read("iserver/account/trades", {"days": TRADE_DAYS})
        return parse.fills(payloads.read(list[payloads.Trade], value, "trades"), self._account)

    def settled_trades(self) -> tuple[Fill, ...]:
        """Executions, read once more where none came: the first read of a session may be empty."""
        return self.trades() or self.trades()

    def positions(self) -> tuple[BrokerPosition, ...]:
        """See `ports.Broker.positions`. The newer endpoint, which is never stale; the older where it is missing."""
        self._session.base_currency()
        account = segment(self._account)
        try:
            value = self._session.read(f"portfolio2/{account}/positions")
        except BrokerRefusal as refusal:
            if refusal.status not in _MISSING:
                raise
            return self._paged_positions(account)
        rows = payloads.read(list[payloads.Position], value, "positions")
        return tuple(parse.position(row) for row in rows)

    def compare_positions(self) -> tuple[PositionCheck, ...]:
        """Both endpoints side by side, by conid: the older one is cached, and may be behind for minutes."""
        newer = {row.conid: row for row in self.positions()}
        older = {row.conid: row for row in self._paged_positions(segment(self._account))}
        return tuple(
            PositionCheck(
                conid,
                (newer.get(conid) or older[conid]).symbol,
                newer[conid].quantity if conid in newer else None,
                older[conid].quantity if conid in older else None,
            )
            for conid in sorted({*newer, *older})
        )

    def cash_ledger(self) -> CashLedger:
        """See `ports.Broker.cash_ledger`."""
        base_currency = self._session.base_currency()
        value = self._session.read(f"portfolio/{segment(self._account)}/ledger")
        entries = payloads.read(dict[str, payloads.LedgerRow], value, "ledger")
        return parse.cash_ledger(entries, base_currency)

    def summary(self) -> dict[str, payloads.SummaryEntry]:
        """IBKR's account summary, by its own keys."""
        self._session.base_currency()
        value = self._session.read(f"portfolio/{segment(self._account)}/summary")
        return payloads.read(dict[str, payloads.SummaryEntry], value, "summary")

    def _paged_positions(self, account: str) -> tuple[BrokerPosition, ...]:
        rows: list[payloads.PagedPosition] = []
        for page in range(MOST_PAGES):
            value = self._session.read(f"portfolio/{account}/positions/{page}")
            new = payloads.read(list[payloads.PagedPosition], value, "positions")
            if not new:
                return tuple(parse.paged_position(row) for row in rows)
            rows += new
        raise UnreadableAnswer(f"positions: more than {MOST_PAGES} pages")

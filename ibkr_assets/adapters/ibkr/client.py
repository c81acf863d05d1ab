"""The client put together: a market-data side and an order side for one gateway.

What goes here: which object holds which. Both sides of one process, and all processes of one user on a machine,
share the request limits of a gateway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibkr_assets.adapters.ibkr.accounts import AccountReads
from ibkr_assets.adapters.ibkr.market_data import IbkrMarketData
from ibkr_assets.adapters.ibkr.orders import OrderDesk
from ibkr_assets.adapters.ibkr.pacing import FIRST_PENALTY_S, Limiter
from ibkr_assets.adapters.ibkr.pacing_state import FileState
from ibkr_assets.adapters.ibkr.previews import fetch_preview
from ibkr_assets.adapters.ibkr.quotes import Quotes
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.adapters.ibkr.stream import GatewayStream
from ibkr_assets.adapters.ibkr.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibkr_assets.adapters.ibkr.history import Calendar
    from ibkr_assets.domain.account import Fill
    from ibkr_assets.domain.broker import (
        BrokerOrder,
        BrokerPosition,
        CancelAnswer,
        CashLedger,
        OrderPreview,
        OrdersRead,
        OrderTicket,
        PlaceAnswer,
        Quote,
        SessionStatus,
    )
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.permission import GatewayIdentity
    from ibkr_assets.ports import Clock


def market_data(
    url: str,
    *,
    ca: str | None,
    clock: Clock,
    calendar: Calendar,
    connect_timeout_s: float,
    read_timeout_s: float,
    may_compete: bool = False,
    first_penalty_s: float = FIRST_PENALTY_S,
    pace: float = 1.0,
) -> IbkrMarketData:
    """Market data of the gateway at `url` (up to and including /v1/api); nothing is sent yet.

    `read_timeout_s` is for one try; a read that fails is tried three times. `first_penalty_s` is the silence after a
    429. `may_compete` allows to take the session from another platform.

    `pace` above 1 is for a simulated gateway that keeps IBKR's limits at that pace. Raises ConfigurationError for
    a URL, file or pin that cannot be used.
    """
    limiter = shared_limiter(url, first_penalty_s=first_penalty_s, pace=pace)
    transport = Transport(
        url, ca=ca, limiter=limiter, connect_timeout_s=connect_timeout_s, read_timeout_s=read_timeout_s
    )
    return IbkrMarketData(Session(transport, account=None, may_compete=may_compete), clock, calendar)


def broker(
    url: str,
    *,
    ca: str | None,
    account: str,
    connect_timeout_s: float,
    read_timeout_s: float,
    order_timeout_s: float,
    may_compete: bool = False,
    first_penalty_s: float = FIRST_PENALTY_S,
    pace: float = 1.0,
) -> IbkrBroker:
    """The order side of the gateway, for the one pinned account; nothing is sent yet. Otherwise as `market_data`."""
    limiter = shared_limiter(url, first_penalty_s=first_penalty_s, pace=pace)
    transport = Transport(
        url, ca=ca, limiter=limiter, connect_timeout_s=connect_timeout_s, read_timeout_s=read_timeout_s
    )
    return IbkrBroker(Session(transport, account=account, may_compete=may_compete), account, order_timeout_s)


def stream(side: IbkrBroker, url: str, *, ca: str | None, connect_timeout_s: float, pace: float = 1.0) -> GatewayStream:
    """The websocket of the same gateway and session; nothing is sent before its `start`."""
    return GatewayStream(
        url, ca=ca, session=side.sessions, account=side.account, connect_timeout_s=connect_timeout_s, pace=pace
    )


def shared_limiter(url: str, *, first_penalty_s: float = FIRST_PENALTY_S, pace: float = 1.0) -> Limiter:
    """The limiter of the gateway at `url`, shared by all processes of this user on the machine."""
    return Limiter(FileState(url.rstrip("/")), first_penalty_s=first_penalty_s, pace=pace)


class IbkrBroker:
    """`ports.Broker` over the gateway. Each method is one of the parts below; see the port for what it promises."""

    def __init__(self, session: Session, account: str, order_timeout_s: float) -> None:
        self.sessions = session
        self.account = account
        self.reads = AccountReads(session, account)
        self._desk = OrderDesk(session, account, order_timeout_s)
        self._quotes = Quotes(session)
        self._order_timeout_s = order_timeout_s

    def open_session(self) -> SessionStatus:
        """See `ports.Broker.open_session`."""
        return self.sessions.open()

    def session(self) -> SessionStatus:
        """See `ports.Broker.session`."""
        return self.sessions.status()

    def identity(self) -> GatewayIdentity:
        """See `ports.Broker.identity`. Raises Unavailable before the accounts were read."""
        return self.sessions.gateway_identity()

    def keep_alive(self) -> SessionStatus:
        """See `ports.Broker.keep_alive`."""
        return self.sessions.tickle()

    def session_id(self) -> str:
        """See `ports.Broker.session_id`. Fresh at every call, which may wait a second for IBKR's tickle limit."""
        return self.sessions.identity()

    def preview(self, ticket: OrderTicket) -> OrderPreview:
        """See `ports.Broker.preview`."""
        return fetch_preview(self.sessions, ticket, self._order_timeout_s)

    def place(self, ticket: OrderTicket) -> PlaceAnswer:
        """See `ports.Broker.place`."""
        return self._desk.place(ticket)

    def reply(self, reply_id: str, *, is_confirmed: bool) -> PlaceAnswer:
        """See `ports.Broker.reply`."""
        return self._desk.reply(reply_id, is_confirmed=is_confirmed)

    def modify(self, broker_order_id: str, ticket: OrderTicket) -> PlaceAnswer:
        """See `ports.Broker.modify`."""
        return self._desk.modify(broker_order_id, ticket)

    def cancel(self, broker_order_id: str) -> CancelAnswer:
        """See `ports.Broker.cancel`."""
        return self._desk.cancel(broker_order_id)

    def live_orders(self) -> OrdersRead:
        """See `ports.Broker.live_orders`."""
        return self.reads.live_orders()

    def order_status(self, broker_order_id: str) -> BrokerOrder | None:
        """See `ports.Broker.order_status`."""
        return self.reads.order_status(broker_order_id)

    def trades(self) -> tuple[Fill, ...]:
        """See `ports.Broker.trades`."""
        return self.reads.trades()

    def positions(self) -> tuple[BrokerPosition, ...]:
        """See `ports.Broker.positions`."""
        return self.reads.positions()

    def cash_ledger(self) -> CashLedger:
        """See `ports.Broker.cash_ledger`."""
        return self.reads.cash_ledger()

    def quotes(self, instruments: Sequence[Instrument]) -> dict[int, Quote]:
        """See `ports.Broker.quotes`."""
        return self._quotes.fetch([i.conid for i in instruments])

    def open_line(self, conid: int) -> None:
        """See `ports.Broker.open_line`."""
        self._quotes.open_line(conid)

    def openings(self) -> int:
        """See `ports.Broker.openings`."""
        return self.sessions.openings

    def clock_skew_s(self) -> float | None:
        """See `ports.Broker.clock_skew_s`."""
        return self.sessions.transport.clock_skew_s

    def close(self) -> None:
        """Close every connection."""
        self.sessions.transport.close()

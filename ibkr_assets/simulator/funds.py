"""What an account can still open positions with, and what an order would take of it. Pure sums over the book.

Every share that opens a position must be covered by `initial_margin` of its value and by its commission; a share
that closes one costs nothing. Accrued dividends are wealth but no funds. Refusing is `admission`'s work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from ibkr_assets.simulator.account import ZERO, Account
from ibkr_assets.simulator.commissions import order_commission
from ibkr_assets.simulator.tickets import Ticket
from ibkr_assets.simulator.venue_order import VenueOrder

PriceOf = Callable[[int], Decimal]


def available_funds(
    account: Account, live: Iterable[VenueOrder], price_of: PriceOf, initial_margin: Decimal
) -> Decimal:
    """Cash and positions, less the margin of positions and of what live orders would open, in USD."""
    funds = account.cash + account.stock_value(price_of) - initial_margin * account.gross_value(price_of)
    ahead: dict[tuple[int, str], Decimal] = {}
    for order in live:
        price = order.price or price_of(order.conid)
        key = order.conid, order.side
        before = ahead.get(key, ZERO)
        funds -= _cost(account, order.conid, order.side, order.remaining, price, before, initial_margin)
        ahead[key] = before + order.remaining
    return funds


def opening_cost(
    account: Account, ticket: Ticket, live: Iterable[VenueOrder], price_of: PriceOf, initial_margin: Decimal
) -> Decimal:
    """Margin and commission in USD of the shares of a ticket that would open a position, behind all `live` orders."""
    price = ticket.price or price_of(ticket.conid)
    ahead = sum((o.remaining for o in live if o.conid == ticket.conid and o.side == ticket.side), ZERO)
    return _cost(account, ticket.conid, ticket.side, ticket.quantity, price, ahead, initial_margin)


def _cost(
    account: Account, conid: int, side: str, quantity: Decimal, price: Decimal, ahead: Decimal, initial_margin: Decimal
) -> Decimal:
    held = account.quantity(conid)
    closable = max(-held if side == "BUY" else held, ZERO)
    opening = quantity - max(closable - ahead, ZERO)
    if opening <= 0:
        return ZERO
    return opening * price * initial_margin + order_commission(opening, opening * price)

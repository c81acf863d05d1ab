"""What an account can still open positions with, and what an order would take of it. Pure sums over the book.

Every share that opens a position must be covered by `initial_margin` of its value and by its commission; a share
that closes one costs nothing. Accrued dividends are wealth but no funds. Refusing is the venue's work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from ibkr_assets.simulator.account import ZERO, Account
from ibkr_assets.simulator.book import VenueOrder
from ibkr_assets.simulator.commissions import order_commission
from ibkr_assets.simulator.tickets import Ticket

PriceOf = Callable[[int], Decimal]


def available_funds(
    account: Account, live: Iterable[VenueOrder], price_of: PriceOf, initial_margin: Decimal
) -> Decimal:
    """Cash and positions, less the margin of positions and of what live orders would open, in USD."""
    funds = account.cash + account.stock_value(price_of) - initial_margin * account.gross_value(price_of)
    earlier: list[VenueOrder] = []
    for order in live:
        price = order.price or price_of(order.conid)
        funds -= _cost(account, order.conid, order.side, order.remaining, price, earlier, initial_margin)
        earlier.append(order)
    return funds


def opening_cost(
    account: Account, ticket: Ticket, live: Iterable[VenueOrder], price_of: PriceOf, initial_margin: Decimal
) -> Decimal:
    """Margin and commission in USD of the shares of a ticket that would open a position, behind all `live` orders."""
    price = ticket.price or price_of(ticket.conid)
    return _cost(account, ticket.conid, ticket.side, ticket.quantity, price, live, initial_margin)


def _cost(
    account: Account,
    conid: int,
    side: str,
    quantity: Decimal,
    price: Decimal,
    earlier: Iterable[VenueOrder],
    initial_margin: Decimal,
) -> Decimal:
    held = account.quantity(conid)
    closable = max(-held if side == "BUY" else held, ZERO)
    ahead = sum((o.remaining for o in earlier if o.conid == conid and o.side == side), ZERO)
    opening = quantity - max(closable - ahead, ZERO)
    if opening <= 0:
        return ZERO
    return opening * price * initial_margin + order_commission(opening, opening * price)

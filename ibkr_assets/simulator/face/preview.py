"""The handler that says what an order would cost and do, all as text; nothing is placed.

Of a bracket the parent is previewed. What the order would be asked about comes as warnings, unless it is suppressed.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from ibkr_assets.simulator.answers import Answer
from ibkr_assets.simulator.commissions import order_commission
from ibkr_assets.simulator.face.accounts import check_account
from ibkr_assets.simulator.face.exchange import Call
from ibkr_assets.simulator.face.order_rounds import questions_of
from ibkr_assets.simulator.face.tickets import read_orders, read_tickets
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.tickets import Refused, Ticket

_NO_DATA_ID = "o354"
_NO_MARKET_DATA = (
    "21/You are trying to submit an order without having market data for this instrument. \nIB strongly recommends "
    "against this kind of blind trading which may result in \nerroneous or unexpected trades."
)


def preview(call: Call) -> Answer:
    """The effects of the first order of a submit body on cash, equity, margin and position."""
    check_account(call)
    gateway = call.gateway
    orders = read_orders(call)
    try:
        ticket = read_tickets(call, orders)[0]
        gateway.venue.check(replace(ticket, coid=None))
    except Refused as refused:
        return Answer(_frame(warns=[], errors=[str(refused)]))
    warns = [q.text for q in questions_of(gateway, (ticket,), None) if q.message_id != _NO_DATA_ID]
    if ticket.conid not in gateway.session.memory.streams:
        # The market data warning has words of its own here, and suppressing the question does not silence it.
        warns.insert(0, _NO_MARKET_DATA)
    return Answer(_frame(warns=warns, errors=[]) | _effects(gateway, ticket) | {"action": ticket.side})


def _frame(*, warns: list[str], errors: list[str]) -> dict[str, Any]:
    return {
        "amount": None, "equity": None, "initial": None, "maintenance": None, "position": None,
        "warn": warns[0] if warns else None, "warns": warns, "error": errors[0] if errors else None,
        "errors": errors, "accruedInterest": None, "action": None, "order_id": None, "cqe": None,
    }  # fmt: skip


def _effects(gateway: Gateway, ticket: Ticket) -> dict[str, Any]:
    venue = gateway.venue
    price = ticket.price or venue.last_price(ticket.conid)
    value = price * ticket.quantity
    fee = order_commission(ticket.quantity, value)
    sign = 1 if ticket.side == "BUY" else -1
    held = venue.book.account.quantity(ticket.conid)
    nav = venue.net_liquidation()
    margin = gateway.options.initial_margin * venue.book.account.gross_value(venue.last_price)
    shares_margined = abs(held + sign * ticket.quantity) - abs(held)
    return {
        "amount": {
            "amount": f"{value:,.2f} USD ({ticket.quantity} Shares)", "commission": f"{fee} USD",
            "total": f"{value + sign * fee:,.2f} USD",
        },
        "equity": _moves(nav, -fee),
        "initial": _moves(margin, gateway.options.initial_margin * shares_margined * price),
        "maintenance": _moves(margin, gateway.options.initial_margin * shares_margined * price),
        "position": {
            "current": f"{held}", "change": f"{sign * ticket.quantity}", "after": f"{held + sign * ticket.quantity}",
        },
        "accruedInterest": "0 USD",
    }  # fmt: skip


def _moves(current: Decimal, change: Decimal) -> dict[str, str]:
    return {"current": f"{current:,.0f}", "change": f"{change:,.0f}", "after": f"{current + change:,.0f}"}

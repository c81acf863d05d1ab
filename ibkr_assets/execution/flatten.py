"""Closing everything: one limit order for each position, inside the collar, proposed like any other order by hand.

What goes here: which orders those are, purely. What does not: who may ask for it (two persons: the guards of the
database), waiting until nothing else works (`cli.permission`), and sending (the submitter, which sends nothing else
under a kill).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING

from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.order import Mode, OrderIntent, OrderType, Side, TimeInForce

if TYPE_CHECKING:
    from ibkr_assets.domain.broker import Quote
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.session import TradingSession

#: What marks an order that only closes; the database checks that it does.
PURPOSE = "reduce"
STRATEGY = "flatten"
#: How much of the collar a limit uses: near enough to fill, and inside it when the price moves.
_PART = Decimal("0.5")


def closing_orders(
    held: Mapping[int, Decimal],
    quotes: Mapping[int, Quote],
    instruments: Sequence[Instrument],
    *,
    account_ref: str,
    mode: Mode,
    now: datetime,
    session: TradingSession,
    collars_usd: Mapping[int, Decimal],
) -> list[OrderIntent]:
    """The orders that close `held` (signed shares by conid). `session` is on at `now`, or the next one.

    `collars_usd`, by conid: how far from the quote's last price the review lets a limit be. During a session the
    orders are for the day, before it for its opening. Raises InputError where a position cannot be priced: nothing is
    closed in part without a word.
    """
    known = {instrument.conid: instrument for instrument in instruments}
    is_open = session.opens_at <= now < session.closes_at
    orders = []
    for conid, quantity in sorted(held.items()):
        if quantity == 0:
            continue
        quote = quotes.get(conid)
        collar_usd = collars_usd.get(conid)
        if (
            collar_usd is None
            or conid not in known
            or quote is None
            or quote.last is None
            or quote.last <= 0
            or quote.is_halted
        ):
            raise InputError(f"flatten: position of {quantity} in conid {conid} has no price to close at")
        instrument, side = known[conid], Side.SELL if quantity > 0 else Side.BUY
        orders.append(
            OrderIntent(
                strategy_id=STRATEGY,
                account_ref=account_ref,
                mode=mode,
                conid=conid,
                symbol=instrument.symbol,
                side=side,
                order_type=OrderType.LIMIT,
                quantity=abs(quantity),
                limit_price=_limit(quote.last, side, collar_usd, instrument.tick),
                time_in_force=TimeInForce.DAY if is_open else TimeInForce.OPENING,
                reference_price=quote.last,
                session_date=session.day,
                signal_bar_end=now,
                valid_until=session.closes_at if is_open else session.opens_at,
                purpose=PURPOSE,
            )
        )
    return orders


def _limit(last: Decimal, side: Side, collar_usd: Decimal, tick: Decimal) -> Decimal:
    wanted = last + side.sign * collar_usd * _PART
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return (wanted / tick).to_integral_value(rounding) * tick

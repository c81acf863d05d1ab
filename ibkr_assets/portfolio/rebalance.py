"""From target positions to order intents: rebalancing on change.

A position is opened when the direction changes and closed when it changes again. While the direction stays, what
is held or working stays as it is, so that a moving NAV or price does not trade the difference every day. What is
allowed is decided later (`risk`), and what is sent later still (`execution.submitter`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from ibkr_assets.domain.errors import DataError, InputError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.order import Mode, OrderIntent, OrderType, Side, TimeInForce
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.domain.signal import Direction, TargetPosition

ZERO = Decimal(0)

#: The finest price steps of a US stock, at or above 1 USD and below it.
CENT = Decimal("0.01")
SUB_DOLLAR_TICK = Decimal("0.0001")

#: An order of a running session must leave this long before its close.
LAST_CALL = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long an order lives at the broker, and until when it may leave us (aware UTC)."""

    time_in_force: TimeInForce
    valid_until: datetime


def time_orders(next_session: TradingSession, now: datetime) -> Timing:
    """For the coming opening while it lies ahead; for the rest of the day while the session runs.

    Once that session is over the order is timed for its opening, which is past: it can be kept, but never sent.
    """
    if next_session.is_open_at(now):
        return Timing(TimeInForce.DAY, next_session.closes_at - LAST_CALL)
    return Timing(TimeInForce.OPENING, next_session.opens_at)


def limit_price(side: Side, instrument: Instrument, reference: Decimal, *, collar_fraction: Decimal) -> Decimal:
    """The reference price plus (buy) or minus (sell) the collar, rounded to the tick there towards the reference.

    Raises DataError where no positive price is left.
    """
    raw = reference * (1 + side.sign * collar_fraction)
    tick = price_tick(instrument, raw)
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    price = (raw / tick).to_integral_value(rounding) * tick
    if not price.is_finite() or price <= 0:
        raise DataError(
            f"reference_price {reference} of {instrument.symbol}: no {side} limit within {collar_fraction} at a tick "
            f"of {tick}"
        )
    return price


def price_tick(instrument: Instrument, price: Decimal) -> Decimal:
    """The price step of an order at `price`: the instrument's own, and in USD never finer than the law allows.

    SEC Rule 612 (17 CFR 242.612): no order finer than 0.01 USD at or above 1 USD, nor finer than 0.0001 USD below.
    An instrument's step is that of its highest price range, so it does not hold below 1 USD.
    """
    if instrument.currency != "USD":
        return instrument.tick
    return max(instrument.tick, CENT) if price >= 1 else SUB_DOLLAR_TICK


def plan_orders(
    targets: Sequence[TargetPosition],
    held_and_working: Mapping[int, Decimal],
    *,
    instruments: Sequence[Instrument],
    account_ref: str,
    mode: Mode,
    session: TradingSession,
    next_session: TradingSession,
    now: datetime,
    price_collar_fraction: Decimal | Mapping[int, Decimal],
) -> list[OrderIntent]:
    """The orders that turn what is held or working (signed shares by conid) into the targets' directions.

    Nothing where the direction is the target's already; a flat target closes everything; a reversal closes (leg 0) and
    opens (leg 1) as two intents. All are limit orders in whole lots, decided at the close of `session`;
    `price_collar_fraction` is one for all or one by conid. Raises InputError when `next_session` does not follow
    `session`, DataError for an unknown instrument, two targets of one instrument, and a quantity that is not whole
    lots.
    """
    if next_session.opens_at < session.closes_at:
        raise InputError(f"next_session {next_session.day}: does not follow session {session.day}")
    by_conid = {instrument.conid: instrument for instrument in instruments}
    timing = time_orders(next_session, now)
    seen: set[int] = set()
    intents: list[OrderIntent] = []
    for target in targets:
        if target.conid in seen:
            raise DataError(f"conid {target.conid} ({target.symbol}): more than one target")
        if target.conid not in by_conid:
            raise DataError(f"conid {target.conid} ({target.symbol}): not among the instruments")
        seen.add(target.conid)
        instrument = by_conid[target.conid]
        changes = _changes(held_and_working.get(target.conid, ZERO), target)
        for leg, change in enumerate(changes):
            side = Side.BUY if change > 0 else Side.SELL
            reference = target.signal.reference_price
            collar = price_collar_fraction
            fraction = collar if isinstance(collar, Decimal) else collar[target.conid]
            intents.append(
                OrderIntent(
                    strategy_id=target.strategy_id,
                    account_ref=account_ref,
                    mode=mode,
                    conid=target.conid,
                    symbol=target.symbol,
                    side=side,
                    order_type=OrderType.LIMIT,
                    quantity=_whole_lots(change, instrument),
                    limit_price=limit_price(side, instrument, reference, collar_fraction=fraction),
                    time_in_force=timing.time_in_force,
                    reference_price=reference,
                    session_date=session.day,
                    signal_bar_end=session.closes_at,
                    valid_until=timing.valid_until,
                    leg=leg,
                )
            )
    return intents


def _changes(held: Decimal, target: TargetPosition) -> list[Decimal]:
    """Signed quantities to trade, in order.

    The direction decides, not the target's quantity: a price that has risen so far that the size would be no whole
    lot any more does not close a position that is still wanted.
    """
    held_direction = Direction.LONG if held > 0 else Direction.SHORT if held < 0 else Direction.FLAT
    if held_direction is target.signal.direction:
        return []
    return [change for change in (-held, target.quantity) if change != 0]


def _whole_lots(change: Decimal, instrument: Instrument) -> Decimal:
    quantity = abs(change)
    if quantity % instrument.lot != 0:
        raise DataError(f"quantity {quantity} of {instrument.symbol}: not whole lots of {instrument.lot}")
    return quantity

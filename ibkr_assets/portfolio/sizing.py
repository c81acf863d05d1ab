"""From signals to target positions: how many shares a strategy's sizing makes of a direction and a strength.

What goes here: the arithmetic, exact, always rounded towards fewer shares. What does not: what is held already
(`portfolio.rebalance`) and what is allowed (`risk`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from fractions import Fraction

from ibkr_assets.domain.errors import ConfigurationError, DataError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.signal import Direction, Signal, TargetPosition

_SIGNS = {Direction.LONG: 1, Direction.FLAT: 0, Direction.SHORT: -1}


class SizingKind(StrEnum):
    """What the number of a sizing counts."""

    FIXED = "fixed"
    PERCENT = "percent"
    NOTIONAL = "notional"


@dataclass(frozen=True, slots=True)
class Sizing:
    """Shares, percent of net asset value, or USD, for each instrument at full strength."""

    kind: SizingKind
    amount: Decimal


def parse_sizing(spec: str) -> Sizing:
    """Read `fixed:SHARES`, `percent:PERCENT_OF_NAV` or `notional:USD`, for example `percent:5`.

    Raises ConfigurationError naming the text: the number must be positive, shares whole, and percent at most 100.
    """
    wanted = "expected fixed:SHARES, percent:PERCENT_OF_NAV or notional:USD"
    name, colon, number = spec.partition(":")
    if not colon or name not in set(SizingKind):
        raise ConfigurationError(f"sizing {spec!r}: {wanted}")
    try:
        amount = Decimal(number)
    except InvalidOperation:
        raise ConfigurationError(f"sizing {spec!r}: {number!r} is not a number; {wanted}") from None
    if not amount.is_finite() or amount <= 0:
        raise ConfigurationError(f"sizing {spec!r}: the number must be positive, got {number}")
    kind = SizingKind(name)
    if kind is SizingKind.FIXED and amount != amount.to_integral_value():
        raise ConfigurationError(f"sizing {spec!r}: shares are whole, got {number}")
    if kind is SizingKind.PERCENT and amount > 100:
        raise ConfigurationError(f"sizing {spec!r}: at most 100 percent of NAV, got {number}")
    return Sizing(kind, amount)


def size_targets(
    signals: Sequence[Signal], sizing: str, *, nav_usd: Decimal, instruments: Sequence[Instrument]
) -> list[TargetPosition]:
    """One target a signal, in the order of the signals: signed whole lots, zero for flat.

    Strength scales the size; the reference price turns money into shares; what is left over of a lot is not used.
    Raises ConfigurationError for a bad `sizing`, DataError for a NAV that is not positive, a signal of an unknown
    instrument, and an instrument that is not in USD where money is to be turned into shares.
    """
    parsed = parse_sizing(sizing)
    if not nav_usd.is_finite() or nav_usd <= 0:
        raise DataError(f"nav_usd {nav_usd}: must be a positive number")
    by_conid = {instrument.conid: instrument for instrument in instruments}
    targets = []
    for signal in signals:
        if signal.conid not in by_conid:
            raise DataError(f"conid {signal.conid} ({signal.symbol}): not among the instruments")
        lots = _lots(signal, parsed, Fraction(nav_usd), by_conid[signal.conid])
        quantity = Decimal(_SIGNS[signal.direction] * lots) * by_conid[signal.conid].lot
        targets.append(TargetPosition(signal.strategy_id, signal.conid, signal.symbol, quantity, signal))
    return targets


def _lots(signal: Signal, sizing: Sizing, nav_usd: Fraction, instrument: Instrument) -> int:
    """Whole lots, in fractions: no rounding happens before the last step."""
    strength, lot = Fraction(signal.strength), Fraction(instrument.lot)
    amount = Fraction(sizing.amount)
    if sizing.kind is SizingKind.FIXED:
        return int(amount * strength / lot)
    if instrument.currency != "USD":
        raise DataError(f"currency {instrument.currency} of {instrument.symbol}: only USD can be turned into shares")
    reference = signal.reference_price
    if not reference.is_finite() or reference <= 0:
        raise DataError(f"reference_price {reference} of {signal.symbol}: must be a positive number")
    budget = nav_usd * amount / 100 if sizing.kind is SizingKind.PERCENT else amount
    return int(budget * strength / (Fraction(reference) * lot))

"""From signals to target positions: how many shares a strategy's sizing makes of a direction and a strength.

What goes here: the arithmetic, exact, always rounded towards fewer shares. What does not: what is held already
(`portfolio.rebalance`), what is allowed (`risk`), and how a size is written (`portfolio.sizing_spec`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import isqrt
from types import MappingProxyType
from typing import assert_never

from ibkr_assets.domain.errors import DataError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.signal import Direction, Signal, TargetPosition
from ibkr_assets.portfolio.sizing_spec import (
    AtrRisk,
    Fixed,
    KellyBet,
    KellyEdge,
    Notional,
    Percent,
    Sizing,
    VolatilityTarget,
    parse_sizing,
)

#: Sessions a year, by which a variance of daily returns becomes one of annual returns.
SESSIONS_A_YEAR = 252
_SIGNS = {Direction.LONG: 1, Direction.FLAT: 0, Direction.SHORT: -1}
_ROOT_SCALE = 10**40

#: Values of stored features by name, at the bar a signal was decided on.
Measures = Mapping[str, Decimal]
_NO_MEASURES: Measures = MappingProxyType({})


def size_targets(
    signals: Sequence[Signal],
    sizing: str,
    *,
    nav_usd: Decimal,
    instruments: Sequence[Instrument],
    measures: Mapping[int, Measures] = MappingProxyType({}),
) -> list[TargetPosition]:
    """One target a signal, in the order of the signals: signed whole lots, zero for flat.

    No size at full strength is worth more than the NAV; strength scales it; what is left over of a lot is not used.
    `measures`, by conid, are of each signal's own bar. Raises ConfigurationError for a bad `sizing`, DataError for a
    NAV that is not positive, a signal of an unknown instrument or one not in USD, and what `check_measures` raises.
    """
    parsed = parse_sizing(sizing)
    if not nav_usd.is_finite() or nav_usd <= 0:
        raise DataError(f"nav_usd {nav_usd}: must be a positive number")
    by_conid = {instrument.conid: instrument for instrument in instruments}
    targets = []
    for signal in signals:
        if signal.conid not in by_conid:
            raise DataError(f"conid {signal.conid} ({signal.symbol}): not among the instruments")
        measured = measures.get(signal.conid, _NO_MEASURES)
        lots = _lots(signal, parsed, Fraction(nav_usd), by_conid[signal.conid], measured)
        quantity = Decimal(_SIGNS[signal.direction] * lots) * by_conid[signal.conid].lot
        targets.append(TargetPosition(signal.strategy_id, signal.conid, signal.symbol, quantity, signal))
    return targets


def check_measures(signal: Signal, sizing: Sizing, measures: Measures) -> None:
    """See that everything `sizing` needs to size `signal` is there; a flat signal needs nothing.

    Raises DataError naming the symbol and the feature that is missing, not a number, zero or negative.
    """
    if signal.direction is Direction.FLAT:
        return
    for name in sizing.features:
        value = measures.get(name)
        if value is None or not value.is_finite() or value <= 0:
            got = "there is none" if value is None else f"got {value}"
            raise DataError(f"{name} of {signal.symbol} at {signal.session_date}: must be a positive number, {got}")


def _lots(signal: Signal, sizing: Sizing, nav_usd: Fraction, instrument: Instrument, measures: Measures) -> int:
    """Whole lots, in fractions: no rounding happens before the last step."""
    if signal.direction is Direction.FLAT:
        return 0
    if instrument.currency != "USD":
        raise DataError(f"currency {instrument.currency} of {instrument.symbol}: only USD can be turned into shares")
    price = signal.reference_price
    if not price.is_finite() or price <= 0:
        raise DataError(f"reference_price {price} of {signal.symbol}: must be a positive number")
    check_measures(signal, sizing, measures)
    exact = {name: Fraction(measures[name]) for name in sizing.features}
    shares = min(_shares(sizing, nav_usd, Fraction(price), exact), nav_usd / Fraction(price))
    return int(shares * Fraction(signal.strength) / Fraction(instrument.lot))


def _shares(sizing: Sizing, nav_usd: Fraction, price: Fraction, measures: Mapping[str, Fraction]) -> Fraction:
    """Shares at full strength, whatever the budget.

    - volatility: NAV x target / (price x annual volatility); Moskowitz, Ooi, Pedersen, Time Series Momentum (2012).
    - atr: NAV x risk / (ranges x ATR): the turtles' unit; Faith, Way of the Turtle (2007). ATR is Wilder's (1978).
    - kelly, odds: NAV x fraction x (p - (1 - p) / payoff) / price; Kelly, A New Interpretation of Information Rate
      (1956). The whole position is taken for the stake, so a loss is never counted too small.
    - kelly, edge: NAV x fraction x edge / annual variance / price; Thorp, The Kelly Criterion (2006), section 7.
    """
    match sizing:
        case Fixed():
            return Fraction(sizing.shares)
        case Percent():
            return nav_usd * _hundredth(sizing.nav_percent) / price
        case Notional():
            return Fraction(sizing.usd) / price
        case VolatilityTarget():
            return nav_usd * _hundredth(sizing.nav_percent) / (price * _annual(measures["volatility_20"]))
        case AtrRisk():
            return nav_usd * _hundredth(sizing.nav_percent) / (Fraction(sizing.ranges) * measures["atr_14"])
        case KellyBet():
            won = _hundredth(sizing.win_percent)
            return nav_usd * _stake(sizing, won - (1 - won) / Fraction(sizing.payoff)) / price
        case KellyEdge():
            variance = measures["volatility_20"] ** 2 * SESSIONS_A_YEAR
            return nav_usd * _stake(sizing, _hundredth(sizing.edge_percent) / variance) / price
        case _:
            assert_never(sizing)


def _stake(sizing: KellyBet | KellyEdge, kelly: Fraction) -> Fraction:
    return min(Fraction(sizing.fraction) * kelly, _hundredth(sizing.cap_nav_percent))


def _hundredth(percent: Decimal) -> Fraction:
    return Fraction(percent) / 100


def _annual(daily_deviation: Fraction) -> Fraction:
    """The annual deviation, its irrational root rounded up: towards fewer shares."""
    square = daily_deviation**2 * SESSIONS_A_YEAR
    return Fraction(isqrt(square.numerator * square.denominator * _ROOT_SCALE**2) + 1, square.denominator * _ROOT_SCALE)

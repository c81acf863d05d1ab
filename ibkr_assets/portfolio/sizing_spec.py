"""How a strategy says the size of a position: the text people write, and what it means.

What goes here: the ways of sizing with their numbers, and reading them. What does not: turning them into shares, which
is `portfolio.sizing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import ClassVar

from ibkr_assets.domain.errors import ConfigurationError

#: Every way of writing a size, for messages.
FORMS = (
    "fixed:SHARES, percent:PERCENT_OF_NAV, notional:USD, volatility:PERCENT_A_YEAR, atr:RISK_PERCENT@ATRS, "
    "kelly:FRACTION@CAP_PERCENT,win=PERCENT,payoff=RATIO or kelly:FRACTION@CAP_PERCENT,edge=PERCENT_A_YEAR"
)


@dataclass(frozen=True, slots=True)
class Fixed:
    """So many shares."""

    features: ClassVar[tuple[str, ...]] = ()
    shares: Decimal


@dataclass(frozen=True, slots=True)
class Percent:
    """So many percent of net asset value."""

    features: ClassVar[tuple[str, ...]] = ()
    nav_percent: Decimal


@dataclass(frozen=True, slots=True)
class Notional:
    """So many USD."""

    features: ClassVar[tuple[str, ...]] = ()
    usd: Decimal


@dataclass(frozen=True, slots=True)
class VolatilityTarget:
    """A position that moves by so many percent of net asset value a year (one standard deviation)."""

    features: ClassVar[tuple[str, ...]] = ("volatility_20",)
    nav_percent: Decimal


@dataclass(frozen=True, slots=True)
class AtrRisk:
    """A position that loses so many percent of net asset value when the price moves by so many average true ranges."""

    features: ClassVar[tuple[str, ...]] = ("atr_14",)
    nav_percent: Decimal
    ranges: Decimal


@dataclass(frozen=True, slots=True)
class KellyBet:
    """A part of Kelly's stake for bets won `win_percent` of the time, at a gain of `payoff` times the loss."""

    features: ClassVar[tuple[str, ...]] = ()
    fraction: Decimal
    cap_nav_percent: Decimal
    win_percent: Decimal
    payoff: Decimal


@dataclass(frozen=True, slots=True)
class KellyEdge:
    """A part of Kelly's stake for an expected gain of `edge_percent` a year over cash, at the measured variance."""

    features: ClassVar[tuple[str, ...]] = ("volatility_20",)
    fraction: Decimal
    cap_nav_percent: Decimal
    edge_percent: Decimal


#: `features` of each are the names of the stored features (`features.definition`) that it needs.
Sizing = Fixed | Percent | Notional | VolatilityTarget | AtrRisk | KellyBet | KellyEdge


def parse_sizing(spec: str) -> Sizing:
    """Read one of FORMS, for example `percent:5`, `atr:1@2` or `kelly:0.5@20,win=55,payoff=1.5`.

    Raises ConfigurationError naming the text: every number must be positive, shares whole, percents at most 100 and
    a Kelly fraction at most 1; declared odds must favour the bet.
    """
    kind, colon, rest = spec.partition(":")
    head, *named = rest.split(",")
    shape = kind, len(head.split("@")), tuple(item.partition("=")[0] for item in named)
    if not colon or shape not in _SHAPES:
        raise ConfigurationError(f"sizing {spec!r}: expected {FORMS}")
    numbers = [_number(spec, text) for text in (*head.split("@"), *(item.partition("=")[2] for item in named))]
    return _SHAPES[shape](spec, numbers)


def _number(spec: str, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ConfigurationError(f"sizing {spec!r}: {text!r} is not a number; expected {FORMS}") from None
    if not number.is_finite() or number <= 0:
        raise ConfigurationError(f"sizing {spec!r}: the number must be positive, got {text}")
    return number


def _at_most(spec: str, limit: int, what: str, number: Decimal) -> None:
    if number > limit:
        raise ConfigurationError(f"sizing {spec!r}: at most {limit} {what}, got {number}")


def _fixed(spec: str, numbers: Sequence[Decimal]) -> Sizing:
    (shares,) = numbers
    if shares != shares.to_integral_value():
        raise ConfigurationError(f"sizing {spec!r}: shares are whole, got {shares}")
    return Fixed(shares)


def _percent(spec: str, numbers: Sequence[Decimal]) -> Sizing:
    _at_most(spec, 100, "percent of NAV", numbers[0])
    return Percent(*numbers)


def _notional(_spec: str, numbers: Sequence[Decimal]) -> Sizing:
    return Notional(*numbers)


def _volatility(spec: str, numbers: Sequence[Decimal]) -> Sizing:
    _at_most(spec, 100, "percent of NAV a year", numbers[0])
    return VolatilityTarget(*numbers)


def _atr(spec: str, numbers: Sequence[Decimal]) -> Sizing:
    _at_most(spec, 100, "percent of NAV at risk", numbers[0])
    return AtrRisk(*numbers)


def _kelly_bet(spec: str, numbers: Sequence[Decimal]) -> Sizing:
    bet = KellyBet(*numbers)
    _check_stake(spec, bet)
    _at_most(spec, 100, "percent of bets won", bet.win_percent)
    if bet.win_percent * bet.payoff <= 100 - bet.win_percent:
        raise ConfigurationError(
            f"sizing {spec!r}: won {bet.win_percent} percent of the time at {bet.payoff} to 1, Kelly stakes nothing"
        )
    return bet


def _kelly_edge(spec: str, numbers: Sequence[Decimal]) -> Sizing:
    bet = KellyEdge(*numbers)
    _check_stake(spec, bet)
    _at_most(spec, 100, "percent a year", bet.edge_percent)
    return bet


def _check_stake(spec: str, bet: KellyBet | KellyEdge) -> None:
    _at_most(spec, 1, "times Kelly's stake", bet.fraction)
    _at_most(spec, 100, "percent of NAV", bet.cap_nav_percent)


#: By kind, how many numbers stand before the first comma, and the names after it.
_SHAPES = {
    ("fixed", 1, ()): _fixed,
    ("percent", 1, ()): _percent,
    ("notional", 1, ()): _notional,
    ("volatility", 1, ()): _volatility,
    ("atr", 2, ()): _atr,
    ("kelly", 2, ("win", "payoff")): _kelly_bet,
    ("kelly", 2, ("edge",)): _kelly_edge,
}

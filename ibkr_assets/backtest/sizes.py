"""How many shares an opening order has.

What goes here: the two ways of sizing that know the fill's open, and the way to the sizers of trading, which know
only the close that was decided on. What does not: those sizers (`portfolio.sizing`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from ibkr_assets.backtest.formulas import FIXED, PERCENT, shares_of
from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.signal import Direction, Signal
from ibkr_assets.portfolio.sizing import size_targets
from ibkr_assets.portfolio.sizing_spec import Fixed, Percent, parse_sizing

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.backtest.tape import Tape


class Opening(NamedTuple):
    """An order about to open: direction +1 or -1, decided at the close of `bar - 1`, filled in `bar`.

    `cash` is what there is after the closings at the same open; `nav` is the equity at the decision.
    """

    tape: Tape
    bar: int
    direction: int
    price: float
    cash: float
    nav: float


class Size(Protocol):
    """A way of sizing."""

    @property
    def needs_nav(self) -> bool:
        """Whether `Opening.nav` is read."""

    @property
    def number(self) -> tuple[int, float] | None:
        """Which formula of `backtest.formulas`, and its parameter; None where there is no such formula."""

    def shares(self, opening: Opening) -> float:
        """Whole shares, not negative."""


@dataclass(frozen=True, slots=True)
class FixedShares:
    """So many shares."""

    count: float
    needs_nav: bool = False

    @property
    def number(self) -> tuple[int, float]:
        """So many."""
        return FIXED, float(self.count)

    def shares(self, opening: Opening) -> float:
        """Always the same."""
        return shares_of(*self.number, opening.cash, opening.price)


@dataclass(frozen=True, slots=True)
class PercentOfCash:
    """So many percent of cash at the open that the order fills at, whole shares, rounded down."""

    percent: float
    needs_nav: bool = False

    @property
    def number(self) -> tuple[int, float]:
        """So many percent."""
        return PERCENT, float(self.percent)

    def shares(self, opening: Opening) -> float:
        """Floor of cash x percent / open."""
        return shares_of(*self.number, opening.cash, opening.price)


class Sizer:
    """The sizers of trading: net asset value, close and stored features of the bar decided on, in exact arithmetic."""

    needs_nav = True
    number = None

    def __init__(self, spec: str) -> None:
        self._spec = spec
        self._names = parse_sizing(spec).features
        self._features: dict[int, pd.DataFrame] = {}

    def shares(self, opening: Opening) -> float:
        """As `portfolio.sizing.size_targets` gives them; none while a feature has no value."""
        tape, at = opening.tape, opening.bar - 1
        measures = {name: self._measure(tape, name, at) for name in self._names}
        if opening.nav <= 0 or not all(math.isfinite(value) for value in measures.values()):
            return 0.0
        instrument = Instrument(tape.conid, tape.symbol, "")
        moment = tape.times[at].astype("datetime64[us]").astype(datetime).replace(tzinfo=UTC)
        signal = Signal(
            strategy_id="backtest", strategy_version=0, conid=tape.conid, symbol=tape.symbol,
            session_date=moment.date(), as_of=moment,
            direction=Direction.LONG if opening.direction > 0 else Direction.SHORT, strength=1.0,
            reference_price=_exact(tape.close[at]), feature_digest="", input_digest="", reason="",
        )  # fmt: skip
        (target,) = size_targets(
            [signal], self._spec, nav_usd=_exact(opening.nav), instruments=[instrument],
            measures={tape.conid: {name: _exact(value) for name, value in measures.items()}},
        )  # fmt: skip
        return float(abs(target.quantity))

    def _measure(self, tape: Tape, name: str, at: int) -> float:
        from ibkr_assets.features.compute import compute_features

        if tape.conid not in self._features:
            self._features[tape.conid] = compute_features(tape.frame)
        return float(self._features[tape.conid][name].iloc[at])


def parse_size(spec: str) -> Size:
    """Read a size as `portfolio.sizing_spec` writes it. Raises InputError naming the text.

    `fixed` and `percent` differ from trading: they know the open of the fill, and `percent` is of cash.
    """
    try:
        sizing = parse_sizing(spec)
    except ConfigurationError as error:
        raise InputError(f"size: {error}") from None
    if isinstance(sizing, Fixed):
        return FixedShares(float(sizing.shares))
    if isinstance(sizing, Percent):
        return PercentOfCash(float(sizing.nav_percent))
    return Sizer(spec)


def _exact(value: float | np.floating) -> Decimal:
    return Decimal(repr(float(value)))

"""One bar, and a contract's minute bars in a form that a year of them fits into memory and is found in quickly.

Which minutes belong to a session, and what of them is known when, is `tape`'s work; reading files is `minute_files`'s.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

#: Prices of minute bars are kept in this part of a dollar.
PRICE_UNITS = 1_000_000
_UNITS_A_CENT = PRICE_UNITS // 100


@dataclass(frozen=True, slots=True)
class TapeBar:
    """Prices of a session or a minute in USD, unadjusted, and its volume in shares."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int


class MinuteBars:
    """One contract's minute bars. A minute is its start in minutes since the epoch, UTC.

    `starts` must rise. Prices are in millionths of a dollar, volumes in shares. Minutes without a trade are absent.
    """

    __slots__ = ("_closes", "_highs", "_lows", "_opens", "_starts", "_volumes")

    def __init__(
        self,
        starts: Iterable[int],
        opens: Iterable[int],
        highs: Iterable[int],
        lows: Iterable[int],
        closes: Iterable[int],
        volumes: Iterable[int],
    ) -> None:
        self._starts = array("q", starts)
        self._opens, self._highs = array("q", opens), array("q", highs)
        self._lows, self._closes = array("q", lows), array("q", closes)
        self._volumes = array("q", volumes)

    @property
    def starts(self) -> array[int]:
        """Every minute that has a bar, rising."""
        return self._starts

    def at(self, minute: int) -> TapeBar | None:
        """The bar of one minute, or None."""
        i = bisect_left(self._starts, minute)
        return self[i] if i < len(self._starts) and self._starts[i] == minute else None

    def open_at(self, minute: int) -> Decimal | None:
        """The first price of one minute, which is known when the minute begins; or None."""
        i = bisect_left(self._starts, minute)
        return price_of(self._opens[i]) if i < len(self._starts) and self._starts[i] == minute else None

    def __getitem__(self, i: int) -> TapeBar:
        return TapeBar(
            price_of(self._opens[i]), price_of(self._highs[i]), price_of(self._lows[i]), price_of(self._closes[i]),
            self._volumes[i],
        )  # fmt: skip

    def span(self, first: int, stop: int) -> tuple[int, int]:
        """Positions, from one to before the other, of the bars that start in [first, stop)."""
        return bisect_left(self._starts, first), bisect_left(self._starts, stop)

    def first_touch(self, first: int, stop: int, units: int, *, is_fall: bool) -> int | None:
        """The first minute in [first, stop) whose low is at `units` or below (`is_fall`), or its high at or above."""
        i, j = self.span(first, stop)
        extremes = self._lows[i:j] if is_fall else self._highs[i:j]
        # Most stretches are not touched at all, and their one extreme is found much faster than the first touch.
        if not extremes or (min(extremes) > units if is_fall else max(extremes) < units):
            return None
        found = (k for k, value in enumerate(extremes) if (value <= units if is_fall else value >= units))
        return self._starts[i + next(found)]

    def merged(self, i: int, j: int) -> TapeBar | None:
        """The bars at positions i to before j as one, or None where there are none."""
        if i >= j:
            return None
        return TapeBar(
            price_of(self._opens[i]), price_of(max(self._highs[i:j])), price_of(min(self._lows[i:j])),
            price_of(self._closes[j - 1]), sum(self._volumes[i:j]),
        )  # fmt: skip


@lru_cache(maxsize=1 << 16)
def price_of(units: int) -> Decimal:
    """A price in USD from millionths of one, with two decimals at least."""
    if units % _UNITS_A_CENT == 0:
        return Decimal(units // _UNITS_A_CENT).scaleb(-2)
    price = Decimal(units).scaleb(-6)
    return Decimal(str(price).rstrip("0"))


def extended(bar: TapeBar | None, opened: Decimal | None) -> TapeBar | None:
    """What is known of a bar while a further minute has only opened: that minute's first price, and no volume."""
    if opened is None:
        return bar
    if bar is None:
        return TapeBar(opened, opened, opened, opened, 0)
    return TapeBar(bar.open, max(bar.high, opened), min(bar.low, opened), opened, bar.volume)

"""Comparing columns: where one value is greater than another, and a position that moves only where bounds demand it.

What goes here: the loops, as machine code. What does not: what is compared (`strategies`), and numbers one at a time
(`features.indicators`). Importing this imports the compiler: import it where it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ibkr_assets.features.frame import frozen
from ibkr_assets.features.machine_code import compiled

if TYPE_CHECKING:
    import numpy.typing as npt

    from ibkr_assets.features.frame import Floats

#: Two values this close, relative to the second, are a tie: rounding alone can part them that far.
TIE = 1e-9


def greater(a: Floats, b: Floats) -> npt.NDArray[np.bool_]:
    """Where `a` exceeds `b` by more than a billionth of it."""
    found = np.empty(a.size, dtype=np.bool_)
    _mark(frozen(a), frozen(b), found)
    return found


@compiled
def _mark(a: Floats, b: Floats, found: npt.NDArray[np.bool_]) -> None:
    for place in range(found.size):
        found[place] = a[place] - b[place] > TIE * abs(b[place])


def follow(
    lowest: npt.NDArray[np.int8], highest: npt.NDArray[np.int8], start: int, free: int = 0
) -> npt.NDArray[np.int8]:
    """Where something stands that is moved, from `start`, only as far as the bounds of each place demand.

    The bounds of the first `free` places are not looked at.
    """
    low, high = (frozen(bounds.astype(np.int8, copy=False)) for bounds in (lowest, highest))
    stands = np.empty(lowest.size, dtype=np.int8)
    _follow(low, high, start, free, stands)
    return stands


@compiled
def _follow(
    lowest: npt.NDArray[np.int8], highest: npt.NDArray[np.int8], start: int, free: int, stands: npt.NDArray[np.int8]
) -> None:
    stand = start
    for place in range(min(free, stands.size)):
        stands[place] = stand
    for place in range(free, stands.size):
        stand = min(max(stand, lowest[place]), highest[place])
        stands[place] = stand

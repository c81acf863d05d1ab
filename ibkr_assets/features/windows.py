"""Sums, means and deviations over the last bars, from these bars alone.

What goes here: what a window holds, added in a fixed order that depends on nothing before the window. What does not:
averages that never forget (`features.averages`). A running total is faster to say and carries the rounding of every bar
since the first: a value of today could then only be had, bit for bit, by starting where it started.
"""

from __future__ import annotations

import numpy as np

from ibkr_assets.features.frame import Floats


class Windows:
    """Sums and squared deviations over windows of n values, oldest first, or of several columns side by side.

    Windows are put together from blocks of 1, 2, 4, 8, ... values, which all windows of the column share: so one of 50
    costs three additions. Squared deviations of two blocks are combined by the distance of their means, as Chan, Golub
    and LeVeque do (1983), where nothing large is taken from something large.
    """

    def __init__(self, values: Floats) -> None:
        self._sums = [values]
        self._squares: list[Floats] = []

    def sums(self, length: int) -> Floats:
        """n - length + 1 sums, the first of the values 0 to length - 1; none where the column is shorter."""
        total, _ = self._combined(length, has_squares=False)
        return total

    def deviations(self, length: int, degrees: int) -> Floats:
        """Standard deviations, the squares divided by `degrees`; as many as there are sums."""
        _, squares = self._combined(length, has_squares=True)
        return np.sqrt(squares / degrees)

    def _combined(self, length: int, *, has_squares: bool) -> tuple[Floats, Floats]:
        count = max(0, len(self._sums[0]) - length + 1)
        if not count:
            return np.empty(0), np.empty(0)
        total, squares, covered = np.empty(0), np.empty(0), 0
        for level in reversed(range(length.bit_length())):
            size = 1 << level
            if not length & size:
                continue
            here = slice(covered, covered + count)
            block = self._block(level)[here]
            if has_squares:
                own = self._squares_of(level)[here]
                if covered:
                    apart = block / size - total / covered
                    apart *= apart
                    apart *= size * covered / (size + covered)
                    squares = squares + own
                    squares += apart
                else:
                    squares = own
            total = total + block if covered else block
            covered += size
        return total, squares

    def _block(self, level: int) -> Floats:
        while len(self._sums) <= level:
            half, size = self._sums[-1], 1 << (len(self._sums) - 1)
            self._sums.append(half[:-size] + half[size:])
        return self._sums[level]

    def _squares_of(self, level: int) -> Floats:
        self._block(level)
        if not self._squares:
            self._squares.append(np.zeros_like(self._sums[0]))
        while len(self._squares) <= level:
            lower = len(self._squares) - 1
            size, sums, below = 1 << lower, self._sums[lower], self._squares[lower]
            apart = sums[size:] - sums[:-size]
            apart *= apart
            apart *= 0.5 / size
            if lower:
                apart += below[:-size] + below[size:]
            self._squares.append(apart)
        return self._squares[level]

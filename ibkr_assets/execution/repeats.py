"""Trouble that comes again and again: told when it is another one, and then once a minute with how often it was.

What goes here: whether a line is worth writing once more. What does not: what the trouble is and what follows from it
(whoever tells it).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

#: Seconds between two lines about the same trouble; one that was away for so long is new.
TOLD_EVERY_S = 60.0
_NUMBERS = re.compile(r"\d+(?:\.\d+)?")


class Repeats:
    """Lines of one logger. Two that differ by numbers alone (how long is waited, which port) are the same trouble."""

    def __init__(self, log: logging.Logger, monotonic: Callable[[], float]) -> None:
        self._log = log
        self._monotonic = monotonic
        self._trouble = ""
        self._untold = 0
        self._told_at = self._seen_at = float("-inf")

    def tell(self, level: int, text: str) -> None:
        """Write the line, unless the same trouble was told within the last minute; then it is counted."""
        now, trouble = self._monotonic(), _NUMBERS.sub("#", text)
        is_new = trouble != self._trouble or now - self._seen_at >= TOLD_EVERY_S
        self._trouble, self._seen_at = trouble, now
        if is_new:
            self._untold = 0
        elif now - self._told_at < TOLD_EVERY_S:
            self._untold += 1
            return
        more = f" ({self._untold} times more in the last {now - self._told_at:.0f} s)" if self._untold else ""
        self._log.log(level, "%s%s", text, more)
        self._told_at, self._untold = now, 0

"""Ctrl-C and `kill` as one exception in the main thread, and a second one as impatience.

Used by foreground commands that have processes to stop. Children are not concerned: `stack.leash` gives them default
signals, and their own sessions keep the terminal's Ctrl-C away from them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruptible:
    """While entered, the first signal raises KeyboardInterrupt; every further one calls `on_repeat`."""

    def __init__(self) -> None:
        self.on_repeat: Callable[[], None] = lambda: None
        self._count = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Take the handlers over. Main thread only."""
        for number in _NUMBERS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 1:
            self.on_repeat()
            return
        raise KeyboardInterrupt

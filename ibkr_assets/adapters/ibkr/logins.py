"""When the brokerage session may be opened again: one try at a time, further and further apart, never as a fight.

What goes here: what all processes of one login know about their tries. The call itself goes to `login`; IBKR's own
limits go to `pacing`, which also holds the most tries an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ibkr_assets.domain.errors import LoginRequired, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.adapters.ibkr.pacing_state import State

#: After a login that did not work the next one waits, each time four times as long, up to the longest.
FIRST_WAIT_S = 15.0
LONGEST_WAIT_S = 900.0
_GROWTH = 4
#: A brokerage session is taken from another platform at most so often, and only where the owner allows it.
COMPETE_EVERY_S = 3600.0
#: Another process's login, its waits included, is over within this.
TURN_BOUND_S = 30.0

HELD_ELSEWHERE = (
    "another platform (TWS, IBKR Mobile or a second gateway) holds the brokerage session of this user; log it out "
    "there: it is never taken from it by force, unless gateway.may_compete allows to do so once an hour"
)
HELD_AGAIN = (
    "another platform (TWS, IBKR Mobile or a second gateway) holds the brokerage session of this user again, although "
    "it was taken back within the hour; log it out there: it is not fought for"
)


class Logins:
    """The tries of one login, shared as the limits are. `clock` is monotonic seconds; `pace` divides every wait."""

    def __init__(self, state: State, clock: Callable[[], float], pace: float) -> None:
        self._state = state
        self._clock = clock
        self._pace = pace

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Hold every other process back. Yields True when another one was at it, which may have done the work.

        Raises Unavailable when the other one does not end within half a minute.
        """
        with self._state.login_turn(TURN_BOUND_S) as had_to_wait:
            yield had_to_wait

    def check(self) -> None:
        """Raises Unavailable while the wait after the last failure lasts."""
        with self._state.locked() as sent:
            left_s = sent.login_at - self._clock()
            if 0 < left_s <= LONGEST_WAIT_S:  # what lies beyond was written before the machine's last start
                raise Unavailable(
                    f"the brokerage session is down; after {sent.login_failures} logins that failed the next is tried "
                    f"in {left_s:.0f} s"
                )

    def note_failure(self) -> None:
        """A login did not work: the next one waits longer."""
        with self._state.locked() as sent:
            wait_s = min(FIRST_WAIT_S * _GROWTH ** min(sent.login_failures, 10), LONGEST_WAIT_S)
            sent.login_failures += 1
            sent.login_at = self._clock() + wait_s / self._pace

    def note_success(self) -> None:
        """A login worked: the next one need not wait."""
        with self._state.locked() as sent:
            sent.login_failures, sent.login_at = 0, 0.0

    def claim_competition(self, *, is_allowed: bool) -> None:
        """Leave to take the session from another platform, once. Raises LoginRequired in a person's words."""
        if not is_allowed:
            raise LoginRequired(HELD_ELSEWHERE)
        with self._state.locked() as sent:
            now = self._clock()
            if sent.competed_at is not None and 0 <= now - sent.competed_at < COMPETE_EVERY_S / self._pace:
                raise LoginRequired(HELD_AGAIN)
            sent.competed_at = now

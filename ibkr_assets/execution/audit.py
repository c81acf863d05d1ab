"""The order ledger looked through every minute: a ledger that contradicts itself withdraws permission to trade.

What goes here: when it is looked through, and what follows. What does not: what must be true of it
(`adapters.postgres.invariants`) and SQL (`adapters.postgres.watch_rows`). It is a thread of the watchdog's process
with a database session of its own: a long look must not keep the watchdog from its other work.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ibkr_assets.domain.errors import LedgerConflict, Unavailable

log = logging.getLogger("ibkr_assets.watchdog")

#: Kinds of alerts: an invariant that does not hold, and a ledger that could not be looked through.
BROKEN = "invariant_broken"
UNCHECKED = "invariants_unchecked"


class AuditRows(Protocol):
    """Where the audit accuses. Both raise Unavailable and LedgerConflict."""

    def accuse(self, kind: str, found: Mapping[str, str]) -> tuple[str, ...]:
        """Raise an alert of each subject and its text, close those that are over, and kill when one is new.

        Returns the new subjects.
        """

    def page(self, kind: str, subject: str, text: str) -> bool:
        """An alert for a person; False when the same one is open."""

    def settle(self, kind: str, *, keep: tuple[str, ...]) -> None:
        """Close the alerts of this kind about other subjects: they are over."""


class Audit:
    """Looks through the ledger every `every_s` seconds; `check` gives every invariant as `check_invariants` does.

    What a person has resumed over kills once only: the same rows under the same invariant are accused again when they
    were in order in between. Nobody having been able to look for `unchecked_s` is an alert.
    """

    def __init__(
        self,
        check: Callable[[], Sequence[Mapping[str, Any]]],
        rows: AuditRows,
        *,
        every_s: float = 60.0,
        unchecked_s: float = 300.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._check = check
        self._rows = rows
        self._every_s = every_s
        self._unchecked_s = unchecked_s
        self._monotonic = monotonic
        self._checked_at = monotonic()
        self.has_failed = False

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set; set it, too, when this ends in any other way: nobody would be looking then."""
        try:
            while not stop.is_set():
                self.look()
                stop.wait(self._every_s)
        finally:
            self.has_failed = not stop.is_set()
            stop.set()

    def look(self) -> None:
        """Once. A database that is away is the watchdog's to judge; here it is only a look that did not happen."""
        try:
            found = {_subject(result): _text(result) for result in self._check() if result["violations"]}
            for subject in self._rows.accuse(BROKEN, found):
                log.error("the account is killed: %s", found[subject])
            self._rows.settle(UNCHECKED, keep=())
            self._checked_at = self._monotonic()
        except (Unavailable, LedgerConflict) as error:
            log.warning("the ledger could not be looked through: %s", error)
            self._tell_unchecked(error)

    def _tell_unchecked(self, error: Exception) -> None:
        age_s = self._monotonic() - self._checked_at
        if age_s < self._unchecked_s:
            return
        try:
            self._rows.page(UNCHECKED, "ledger", f"nobody could check the invariants for {age_s:.0f} s: {error}")
        except (Unavailable, LedgerConflict) as second:
            log.warning("and no alert could be raised: %s", second)


def _subject(result: Mapping[str, Any]) -> str:
    """What tells one finding from another: the invariant, how many rows break it, and the first of them."""
    return f"{result['id']} {result['violations']}: {', '.join(result['examples'])}"


def _text(result: Mapping[str, Any]) -> str:
    return (
        f"invariant {result['id']} does not hold: {result['name']}; "
        f"{result['violations']} contradict it: {', '.join(result['examples'])}"
    )

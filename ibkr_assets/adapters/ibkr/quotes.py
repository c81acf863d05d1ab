"""The newest prices of contracts: IBKR's snapshot with its pre-flight inside, waited for within a bound.

The first call for a contract opens a line and answers without prices; data then arrive bit by bit. A line stays open,
and an account has a hundred: what opens more closes the others first. Nothing is judged here: whether a quote is fresh
or good enough is the caller's question.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from ibkr_assets.adapters.ibkr import parse, payloads
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.domain.broker import Quote

PATH = "iserver/marketdata/snapshot"
CLOSE_ALL = "iserver/marketdata/unsubscribeall"
#: Last, bid, ask, and what kind of data they are.
FIELDS = "31,84,86,6509"
#: IBKR's limit of contracts in one call, and of market data lines of an account that has bought no more.
MOST_CONIDS = MOST_LINES = 100
#: Waits between looks; IBKR renews a snapshot every half second, a simulated gateway as much faster as its pace.
WAITS_S = (0.25, 0.5, 0.5, 0.75, 1.0)


class Quotes:
    """Quotes over one session. Safe for threads, which take turns: they would close each other's lines.

    Other processes on the session have lines that are not known here. Who finds that a contract has no price closes
    theirs too, and asks once more; a contract that had none then either is not a reason to do so again.
    """

    def __init__(self, session: Session, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._session = session
        self._sleep = sleep
        self._open: set[int] = set()
        self._openings = session.openings
        self._silent: set[int] = set()
        self._turn = threading.Lock()

    def fetch(self, conids: Sequence[int]) -> dict[int, Quote]:
        """Quotes by conid; a contract without any price is absent. Takes about three seconds a hundred at most."""
        found: dict[int, Quote] = {}
        with self._turn:
            self._note_session()
            for first in range(0, len(conids), MOST_CONIDS):
                found |= self._fetch(conids[first : first + MOST_CONIDS])
        return found

    def open_line(self, conid: int) -> None:
        """Have market data of the contract: IBKR asks whoever orders without it whether he means it (o354)."""
        with self._turn:
            self._note_session()
            if conid not in self._open:
                self._fetch([conid])

    def _note_session(self) -> None:
        """Lines end with the brokerage session that they were opened in."""
        if self._openings != self._session.openings:
            self._openings = self._session.openings
            self._open.clear()

    def _fetch(self, conids: Sequence[int]) -> dict[int, Quote]:
        if len(self._open | set(conids)) > MOST_LINES:
            self._close_all()
        found = self._look(conids)
        lacking = set(conids) - found.keys()
        if lacking - self._silent:
            self._close_all()
            found |= self._look(sorted(lacking))
            self._silent |= lacking - found.keys()
        self._silent -= found.keys()
        return found

    def _look(self, conids: Sequence[int]) -> dict[int, Quote]:
        """As complete as it became within about three seconds at IBKR's pace."""
        self._session.prime()
        self._open |= set(conids)
        rows: dict[int, payloads.SnapshotRow] = {}
        for wait_s in (*WAITS_S, None):
            value = self._session.read(PATH, {"conids": ",".join(map(str, conids)), "fields": FIELDS})
            for row in payloads.read(list[payloads.SnapshotRow], value, "snapshot"):
                rows[row.conid] = row
            if wait_s is None or all(_is_whole(rows.get(conid)) for conid in conids):
                break
            self._sleep(wait_s / self._session.transport.limiter.pace)
        quotes = (parse.quote(rows[conid]) for conid in conids if conid in rows)
        return {quote.conid: quote for quote in quotes if quote is not None}

    def _close_all(self) -> None:
        self._session.read(CLOSE_ALL)
        self._open.clear()


def _is_whole(row: payloads.SnapshotRow | None) -> bool:
    return row is not None and row.last is not None and row.bid is not None and row.ask is not None

"""The newest prices of contracts: IBKR's snapshot with its pre-flight inside, waited for within a bound.

The first call for a contract opens a stream and answers without prices; data then arrive bit by bit. Nothing is
judged here: whether a quote is fresh or good enough is the caller's question.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ibkr_assets.adapters.ibkr import parse, payloads
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.domain.broker import Quote

PATH = "iserver/marketdata/snapshot"
#: Last, bid, ask, and what kind of data they are.
FIELDS = "31,84,86,6509"
#: IBKR's limit of contracts in one call.
MOST_CONIDS = 100
#: Waits between looks; IBKR renews a snapshot every half second, a simulated gateway as much faster as its pace.
WAITS_S = (0.25, 0.5, 0.5, 0.75, 1.0)


def fetch_rows(
    session: Session, conids: Sequence[int], *, sleep: Callable[[float], None] = time.sleep
) -> list[payloads.SnapshotRow]:
    """One row a contract, as complete as it became within about three seconds at IBKR's pace."""
    session.prime()
    rows: dict[int, payloads.SnapshotRow] = {}
    for first in range(0, len(conids), MOST_CONIDS):
        chunk = conids[first : first + MOST_CONIDS]
        for wait_s in (*WAITS_S, None):
            value = session.read(PATH, {"conids": ",".join(map(str, chunk)), "fields": FIELDS})
            for row in payloads.read(list[payloads.SnapshotRow], value, "snapshot"):
                rows[row.conid] = row
            if wait_s is None or all(_is_whole(rows.get(conid)) for conid in chunk):
                break
            sleep(wait_s / session.transport.limiter.pace)
    return [rows[conid] for conid in conids if conid in rows]


def fetch_quotes(session: Session, conids: Sequence[int]) -> dict[int, Quote]:
    """Quotes by conid; a contract without any price is absent."""
    quotes = (parse.quote(row) for row in fetch_rows(session, conids)) if conids else ()
    return {quote.conid: quote for quote in quotes if quote is not None}


def _is_whole(row: payloads.SnapshotRow | None) -> bool:
    return row is not None and row.last is not None and row.bid is not None and row.ask is not None

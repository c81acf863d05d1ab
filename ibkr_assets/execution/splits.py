"""A position that changed without a trade, where the broker's own figures show a split.

What goes here: the evidence and booking it, so that books, strategies and results follow. What does not: the
arithmetic (`portfolio.splits`), and everything else that moves shares without a trade: a spin-off comes with another
conid, a merger with none, parts of shares with cash. Those stay differences until an operator says what they are.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from ibkr_assets.domain.ledger import SharesEvent
from ibkr_assets.execution.seat import log
from ibkr_assets.execution.valuation import find_marks
from ibkr_assets.portfolio.splits import Held, find_split

if TYPE_CHECKING:
    from ibkr_assets.domain.broker import AccountRead
    from ibkr_assets.domain.ledger import Break, StoredSnapshot
    from ibkr_assets.execution.account import Comparison
    from ibkr_assets.execution.seat import Seat


def book_splits(seat: Seat, read: AccountRead, comparison: Comparison) -> int:
    """Book the splits that explain differences of positions. Returns how many.

    A split is the broker's word, not ours: what is booked is the difference of its number of shares, and only where
    its shares, its cost and its price of the last look that agreed lead to those of this one. Cash that nobody can
    explain may be what was paid for parts of shares, so beside it nothing is booked.
    """
    if not comparison.positions or comparison.events is None:
        return 0
    snapshot = seat.ledger.account.last_snapshot()
    booked = 0
    for found in comparison.positions:
        event = None if snapshot is None else _split_of(seat, read, found, snapshot)
        if event is None:
            continue
        seat.ledger.account.save_split(event, market_at=read.market_at)
        log.warning("split of %s: %s new for %s old, %s shares", event.symbol, event.new, event.old, event.quantity)
        booked += 1
    return booked


def _split_of(seat: Seat, read: AccountRead, found: Break, snapshot: StoredSnapshot) -> SharesEvent | None:
    assert found.conid is not None
    row = next((row for row in snapshot.positions if row["conid"] == str(found.conid)), None)
    position = next((position for position in read.positions if position.conid == found.conid), None)
    price = find_marks(read.positions, read.quotes).get(found.conid)
    if row is None or position is None or price is None or not _has_agreed(row):
        return None
    before = Held(Decimal(row["quantity"]), Decimal(row["average_cost"]), Decimal(row["price"]))
    now = Held(position.quantity, position.average_cost, price)
    since = seat.ledger.executions.of_instrument(found.conid, since=snapshot.market_at)
    books = Decimal(found.detail["books"])
    if before.quantity + sum((fill.side.sign * fill.quantity for fill in since), Decimal(0)) != books:
        return None  # something else has changed the books, so the last look is no ground to stand on
    split = find_split(found.conid, before, now, since, seen_at=read.market_at, symbol=row["symbol"])
    if split is None:
        return None
    return SharesEvent(
        conid=found.conid,
        symbol=row["symbol"],
        quantity=position.quantity - books,
        new=split.new,
        old=split.old,
        effective_at=split.at,
        detail=f"{split.new} for {split.old} by the broker's shares, cost and price",
        reference={
            "snapshot_id": str(snapshot.snapshot_id),
            "seen_at": read.market_at.isoformat(),
            "before": f"{before.quantity} at {before.average_cost}, price {before.price}",
            "now": f"{now.quantity} at {now.average_cost}, price {now.price}",
        },
    )


def _has_agreed(row: dict[str, str]) -> bool:
    return "broker_quantity" in row and Decimal(row["broker_quantity"]) == Decimal(row["quantity"])

"""What the account is worth by the platform's books, beside the broker's own figure.

What goes here: marks, the snapshot, and what a missing price means. What does not: whether books and broker agree
(`account`), and what a loss stops (`losses`). A value that cannot be computed is not stored: orders are sized on the
newest snapshot and denied when it is old, so nothing is bought on a number that leaves a position out.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from ibkr_assets.domain.ledger import AccountSnapshot, Blocks, Break
from ibkr_assets.execution.losses import stop_after_loss
from ibkr_assets.execution.seat import log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ibkr_assets.domain.broker import AccountRead, BrokerPosition, Quote
    from ibkr_assets.domain.ledger import Books
    from ibkr_assets.execution.seat import Seat

#: A net asset value this far from the broker's is worth a line: USD, and fraction.
NAV_TOLERANCE_USD = Decimal(10)
NAV_TOLERANCE = Decimal("0.001")


def find_marks(positions: Sequence[BrokerPosition], quotes: Mapping[int, Quote]) -> dict[int, Decimal]:
    """Prices by conid: the newest trade, or else the broker's own mark. Only numbers above zero are prices."""
    marks = [(position.conid, position.market_price) for position in positions]
    trades = [(conid, quote.last) for conid, quote in quotes.items() if quote.last is not None]
    return {conid: price for conid, price in [*marks, *trades] if price.is_finite() and price > 0}


def value_account(seat: Seat, books: Books, read: AccountRead) -> AccountSnapshot | None:
    """Store a snapshot and how far it is from the broker's, and what a loss stops.

    Where something held has no price a difference is stored instead, and nothing is returned.
    """
    marks = find_marks(read.positions, read.quotes)
    unpriced = [holding for holding in books.holdings.values() if holding.conid not in marks]
    for holding in unpriced:
        detail = {"symbol": holding.symbol, "quantity": str(holding.quantity)}
        found = Break("price_missing", str(holding.conid), Blocks.CONID, detail, conid=holding.conid)
        if seat.ledger.differences.save_break(found):
            log.error("no price of %s: the account cannot be valued", holding.symbol)
    seat.ledger.differences.resolve(
        "price_missing", keep=[str(holding.conid) for holding in unpriced], resolved_by="there is a price again"
    )
    if unpriced:
        return None
    snapshot = _snapshot(books, read, marks)
    seat.ledger.account.save_snapshot(snapshot, epoch=seat.epoch)
    _store_nav_break(seat, snapshot.nav_platform - snapshot.nav_broker, snapshot.nav_broker)
    stop_after_loss(seat, snapshot.market_at)
    return snapshot


def _snapshot(books: Books, read: AccountRead, marks: Mapping[int, Decimal]) -> AccountSnapshot:
    theirs = {position.conid: position for position in read.positions}
    rows, value = [], Decimal(0)
    for holding in books.holdings.values():
        price = marks[holding.conid]
        value += holding.quantity * price
        row = {
            "conid": str(holding.conid),
            "symbol": holding.symbol,
            "quantity": str(holding.quantity),
            "price": str(price),
        }
        if holding.conid in theirs:
            row["broker_quantity"] = str(theirs[holding.conid].quantity)
            row["average_cost"] = str(theirs[holding.conid].average_cost)
        rows.append(row)
    return AccountSnapshot(
        market_at=read.market_at,
        cash=books.cash,
        accrued_dividends=books.accrued,
        positions_value=value,
        nav_broker=read.cash.net_liquidation,
        broker_cash=read.cash.cash,
        broker_settled_cash=read.cash.settled_cash,
        positions=rows,
        paid_in=books.paid_in,
    )


def _store_nav_break(seat: Seat, difference: Decimal, nav_broker: Decimal) -> None:
    if abs(difference) <= max(NAV_TOLERANCE_USD, abs(nav_broker) * NAV_TOLERANCE):
        seat.ledger.differences.resolve("nav", keep=[], resolved_by="net asset values agree again")
        return
    detail = {"difference_usd": str(difference), "broker_usd": str(nav_broker)}
    if seat.ledger.differences.save_break(Break("nav", "USD", Blocks.NOTHING, detail)):
        log.error("net asset value is %s USD off the broker's %s", difference, nav_broker)

"""Reads of the broker that are followed at once: lists, executions, the account.

What goes here: one read, what it moves, and what is still missing after it. What does not: when to read (`watch`,
`reconcile`).
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ibkr_assets.domain.ledger import Blocks, Break
from ibkr_assets.domain.order import OrderState
from ibkr_assets.execution.account import compare, open_books, read_account, settle_account
from ibkr_assets.execution.crashpoints import reach
from ibkr_assets.execution.follow import follow_list, follow_row, needs_executions
from ibkr_assets.execution.other_account import refuse_other_accounts
from ibkr_assets.execution.recovery import adopt_fills, adopt_orders
from ibkr_assets.execution.seat import log
from ibkr_assets.execution.splits import book_splits

if TYPE_CHECKING:
    from ibkr_assets.domain.account import Fill
    from ibkr_assets.domain.broker import AccountRead
    from ibkr_assets.execution.account import Comparison
    from ibkr_assets.execution.reads import BrokerReads
    from ibkr_assets.execution.seat import Seat
    from ibkr_assets.ports import IntentRecord

CANCELLING = (OrderState.CANCEL_PENDING, OrderState.CANCEL_UNKNOWN)
AT_BROKER = (OrderState.ACKED, OrderState.WORKING, *CANCELLING)
#: Executions of these days are listed for certain: the broker lists seven, and days begin in its own zone.
_LISTED_FOR = timedelta(days=5)
_MAY_VANISH = frozenset({OrderState.ACKED, OrderState.WORKING})


class Looks:
    """The newest reads of one seat, and what they left open."""

    def __init__(self, seat: Seat, reads: BrokerReads) -> None:
        self._seat = seat
        self.reads = reads
        self.wants_trades = False
        #: Both sides of the newest comparison of the account, as text.
        self.compared: dict[str, Any] = {}
        self._unequal: tuple[str, float] | None = None
        self._missing: frozenset[str] = frozenset()
        # A restore happens while no seat is taken, so this is settled for as long as this one is.
        self._is_restored = seat.ledger.recovery.open_restoration() is not None

    def at_broker(self) -> list[IntentRecord]:
        """Orders that the broker has and that are not over."""
        return self._seat.ledger.sends.records(AT_BROKER)

    def look_at_orders(self) -> None:
        """Read the order list and follow it; an order that should be on it and is not goes into doubt."""
        expected = self.at_broker()
        orders = self.reads.read_orders()
        reach("watch.orders")
        refuse_other_accounts(self._seat, orders.others)
        if self._is_restored:
            adopt_orders(self._seat, orders.orders)
        self.wants_trades = follow_list(self._seat, orders.orders) or self.wants_trades
        if not orders.is_snapshot:
            return
        for record in expected:
            if record.state in _MAY_VANISH and self.reads.row_of(record.client_order_id) is None:
                self.look_at_status(record, is_missing=True)

    def look_at_status(self, record: IntentRecord, *, is_missing: bool = False) -> bool:
        """Read one order's status and follow it. Returns True when something changed or executions are missing."""
        assert record.broker_order_id is not None
        row = self._seat.broker.order_status(record.broker_order_id)
        if row is None:
            current = self._seat.ledger.sends.find([record.client_order_id])[record.client_order_id]
            if is_missing and current.state in _MAY_VANISH:
                log.error("%s is neither in the order list nor known by its id", record.client_order_id)
                self._seat.ledger.sends.move(
                    current,
                    OrderState.UNKNOWN,
                    epoch=self._seat.epoch,
                    cause="vanished",
                    reason="neither in the order list nor known by its id",
                )
            return True
        is_behind = needs_executions(record, row)
        if is_behind:
            reach("watch.status")
        self.wants_trades = self.wants_trades or is_behind
        current = self._seat.ledger.sends.find([record.client_order_id])[record.client_order_id]
        return follow_row(self._seat, current, row).state is not record.state or is_behind

    def look_at_trades(self) -> int:
        """Read executions and book them. Returns how many were new."""
        fills = self.reads.read_trades()
        reach("watch.trades")
        if self._is_restored:
            adopt_fills(self._seat, fills)
        is_opened = self._seat.ledger.account.books().is_opened
        saved = self._seat.ledger.executions.save_fills(fills, epoch=self._seat.epoch)
        reach("watch.booked")
        if is_opened:
            for conid in sorted(set(saved.foreign_conids)):
                self._foreign_break(conid)
        if saved.new:
            log.info("%d executions booked", saved.new)
        self.wants_trades = False
        return saved.new + saved.revised + self._look_for_busts(fills)

    def _look_for_busts(self, fills: tuple[Fill, ...]) -> int:
        """Take back executions that two reads in a row do not show, where the broker's position says the same."""
        if not self.reads.is_primed:
            return 0
        since = self._seat.clock.now() - _LISTED_FOR
        missing = self._seat.ledger.executions.missing_from(fills, since=since)
        again = [fill for fill in missing if fill.execution_id in self._missing]
        before, self._missing = self._missing, frozenset(fill.execution_id for fill in missing)
        if self._missing - before:
            self.wants_trades = True
        if not again:
            return 0
        held = {position.conid: position.quantity for position in self._seat.broker.positions()}
        ours = self._seat.ledger.account.books().holdings
        busted = []
        for conid in sorted({fill.conid for fill in again}):
            gone = [fill for fill in again if fill.conid == conid]
            change = sum((fill.side.sign * fill.quantity for fill in gone), Decimal(0))
            quantity = ours[conid].quantity if conid in ours else Decimal(0)
            if held.get(conid, Decimal(0)) == quantity - change:
                busted += gone
        for fill in busted:
            log.error("execution %s was taken back by the broker", fill.execution_id)
        return self._seat.ledger.executions.save_busts(busted, epoch=self._seat.epoch) if busted else 0

    def look_at_account(self) -> bool:
        """Compare books and broker and store a snapshot. Returns False when executions must be read first.

        A difference is believed when it is the same after executions were read once more.
        """
        books = self._seat.ledger.account.books()
        read = read_account(self._seat, books)
        if read is None:
            return False
        if not books.is_opened:
            open_books(self._seat, books, read)
            books = self._seat.ledger.account.books()
        comparison = compare(books, read)
        if not comparison.is_equal and not self._is_confirmed(read, comparison):
            self.wants_trades = True
            return False
        if book_splits(self._seat, read, comparison):
            books = self._seat.ledger.account.books()
            comparison = compare(books, read)
        if comparison.is_equal:
            self._unequal = None
        self.compared = settle_account(self._seat, books, read, comparison)
        return True

    def _is_confirmed(self, read: AccountRead, comparison: Comparison) -> bool:
        unequal = [(found.conid, found.detail["broker"], found.detail["books"]) for found in comparison.positions]
        signature = repr((unequal, comparison.cash_difference, read.cash.accrued_dividends))
        trades_at = self.reads.trades_begun_at
        if self._unequal is None or self._unequal[0] != signature:
            self._unequal = (signature, self._seat.monotonic())
            return False
        return trades_at is not None and trades_at > self._unequal[1]

    def _foreign_break(self, conid: int) -> None:
        detail = {"conid": str(conid)}
        found = Break("foreign_execution", str(conid), Blocks.CONID, detail, conid=conid)
        if self._seat.ledger.differences.save_break(found):
            log.error("an execution of conid %s was not ours; the instrument is blocked", conid)

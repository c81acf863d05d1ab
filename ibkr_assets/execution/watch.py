"""What the submitter does over and over: send what is approved, and follow what is out.

What goes here: the order and the rhythm of one turn. What does not: the steps themselves (`submit`, `looks`,
`evidence`). A turn never waits for IBKR's slow lists: they are read when their time has come, so that a send is not
held up behind them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.domain.ledger import CallOutcome
from ibkr_assets.domain.order import Mode, OrderState
from ibkr_assets.execution.crashpoints import reach
from ibkr_assets.execution.days import close_day
from ibkr_assets.execution.departure import hear_departure
from ibkr_assets.execution.evidence import conclude, observe, wanted
from ibkr_assets.execution.follow import reopen_cancel
from ibkr_assets.execution.inactive import inactive_orders, settle_inactive
from ibkr_assets.execution.kill import asks_to_cancel, killed_by_file
from ibkr_assets.execution.looks import CANCELLING
from ibkr_assets.execution.prices import Prices, Sighting
from ibkr_assets.execution.rounds import Rounds
from ibkr_assets.execution.seat import log
from ibkr_assets.execution.submit import cancel, submit
from ibkr_assets.risk.departure import check_nightly_reset

if TYPE_CHECKING:
    from ibkr_assets.domain.broker import StreamNews
    from ibkr_assets.domain.ledger import Evidence
    from ibkr_assets.execution.looks import Looks
    from ibkr_assets.execution.seat import Seat
    from ibkr_assets.ports import IntentRecord

#: A market clock that moves so far between two turns was set, or the machine slept.
CLOCK_JUMP = timedelta(minutes=30)
#: Orders without proof at which nothing more leaves until one of them is resolved.
MOST_DOUBTS = 3
#: Seconds: how old the last comparison of the account may be.
RECONCILED_AGE_S = 300.0
_BRISK_S = 10.0
_SLOW_STATUS_S = 1.5
_LOOK_EVERY_S = 6.0
_IDLE_TRADES_S = 60.0
_CANCEL_AGAIN_S = 15.0


class Watch:
    """The turns of one seat, after its reconciliation."""

    def __init__(self, seat: Seat, looks: Looks) -> None:
        now = seat.monotonic()
        self._seat = seat
        self._looks = looks
        self._market_at: datetime | None = None
        self._snapshot_at: datetime = seat.clock.now()
        self._snapshot_due = now + seat.options.snapshot_every_s
        self._reconciled_at = now
        self._status_due = now
        self._brisk_until = now + _BRISK_S
        self._next_status = 0
        self._prices = Prices(seat)
        self._held: dict[str, str] = {}
        self._cancelled: dict[str, float] = {}
        self._look: tuple[list[tuple[IntentRecord, Evidence]], float] | None = None
        self._told_orders: set[str] = set()
        self._wants_list = False
        self._rounds = Rounds(seat, looks)
        self._is_day_known = False

    def hear(self, news: StreamNews) -> None:
        """Take the stream's hints: read soon what it speaks of, and everything after a gap. Nothing else follows."""
        self._looks.wants_trades = self._looks.wants_trades or news.has_fills or news.has_gap
        self._wants_list = self._wants_list or news.has_gap
        self._told_orders |= news.changed_orders

    def turn(self) -> datetime:
        """One pass over everything. Returns the market time it began at. Raises Unavailable, LedgerConflict."""
        now = self._seat.clock.now()
        if self._market_at is not None and abs(now - self._market_at) >= CLOCK_JUMP:
            self._hurry()
        self._market_at = now
        if self._seat.ledger.sends.expire(now, epoch=self._seat.epoch):
            reach("expire.done")
        self._send(now)
        if self._resetting(now) is None:
            self._cancel_asked()
        self._follow_orders()
        self._resolve_doubts()
        if self._rounds.turn(self._reconciled_at):
            self._snapshot_due = 0.0
        self._compare_account(now)
        if not self._is_day_known:
            close_day(self._seat)
            self._is_day_known = True
        return now

    def _hurry(self) -> None:
        """Something has happened to the market or to us: look at every order now."""
        self._brisk_until = self._seat.monotonic() + _BRISK_S
        self._status_due = 0.0
        for record in self._looks.at_broker():
            self._look_at_status(record)

    def _send(self, now: datetime) -> None:
        approved = self._seat.ledger.sends.records([OrderState.APPROVED])
        if not approved:
            return
        withdrawn = self._seat.ledger.sends.withdrawn(approved)
        stopped_by = self._stopped_by(now)
        self._prices.begin_round()
        for record in approved:
            if record.intent_id in withdrawn:
                self._seat.ledger.sends.deny(record, withdrawn[record.intent_id], epoch=self._seat.epoch)
                continue
            reason = stopped_by or self._held_back_by(record)
            seen = None if reason is not None else self._prices.sight(record, now, approved)
            if seen is None:
                self._note(record, reason or "waits for a quote")
                continue
            self._seat.broker.open_line(record.intent.conid)
            if not self._may_leave(record, seen):
                continue
            sent = submit(self._seat, record, seen)
            self._held.pop(record.intent_id, None)
            self._brisk_until = self._seat.monotonic() + _BRISK_S
            if sent.state is OrderState.APPROVED:
                raise Unavailable(f"{sent.client_order_id} could not be sent: {sent.reason}")
            if sent.state is OrderState.UNKNOWN:
                stopped_by = self._stopped_by(now)
                if not self._seat.broker.session().is_ready:
                    raise Unavailable("the brokerage session is gone")

    def _resetting(self, now: datetime) -> str | None:
        """Why the gateway is left alone around IBKR's nightly reset, or None."""
        return check_nightly_reset(now, self._seat.options.reset_zone).text or None

    def _stopped_by(self, now: datetime) -> str | None:
        """Why no order at all may leave now."""
        if self._resetting(now) is not None:
            return self._resetting(now)
        if self._seat.monotonic() - self._reconciled_at > RECONCILED_AGE_S:
            return "the account was not compared for five minutes"
        unproven = [e for _, e in self._seat.ledger.doubts.doubts() if e.last_outcome is CallOutcome.AMBIGUOUS]
        return f"{len(unproven)} orders are in doubt" if len(unproven) >= MOST_DOUBTS else None

    def _held_back_by(self, record: IntentRecord) -> str | None:
        """Why this order must wait."""
        if record.intent.mode not in (Mode.DRY_RUN, self._seat.mode):
            return f"its mode is {record.intent.mode}, the platform's {self._seat.mode}"
        return killed_by_file(self._seat.options.kill_file) or self._seat.ledger.sends.held_back_by(record)

    def _may_leave(self, record: IntentRecord, seen: Sighting) -> bool:
        """Whether the last review lets the order go; one that must wait is noted, one that never may is denied."""
        if not self._seat.options.hears_departure:
            return True
        refused = hear_departure(self._seat, record, seen)
        if refused is None:
            return True
        reason = f"{refused.denied.code}: {refused.denied.text}"
        if refused.denied.is_patient:
            self._note(record, reason)
        else:
            log.warning("denied %s: %s", record.client_order_id, reason)
            self._seat.ledger.sends.deny(record, reason, epoch=self._seat.epoch, refusal=refused)
        return False

    def _note(self, record: IntentRecord, reason: str) -> None:
        """Keep why an approved order waits: once in the log and with the order, so that its end can tell."""
        if self._held.get(record.intent_id) == reason:
            return
        self._held[record.intent_id] = reason
        log.info("%s waits: %s", record.client_order_id, reason)
        self._seat.ledger.sends.move(
            record, OrderState.APPROVED, epoch=self._seat.epoch, cause="held back", reason=reason
        )

    def _cancel_asked(self) -> None:
        now = self._seat.monotonic()
        is_everything = asks_to_cancel(self._seat.options.kill_file)
        for record, why in self._seat.ledger.sends.to_cancel(is_everything=is_everything):
            if now - self._cancelled.get(record.intent_id, -_CANCEL_AGAIN_S) >= _CANCEL_AGAIN_S:
                self._cancelled[record.intent_id] = now
                cancel(self._seat, record, why)
        reads = self._looks.reads
        for record, text in inactive_orders(self._seat, reads):
            if (reads.orders_begun_at or 0.0) > self._cancelled.get(record.intent_id, float("-inf")):
                self._cancelled[record.intent_id] = now
                settle_inactive(self._seat, record, text)
        for record in self._seat.ledger.sends.records(CANCELLING):
            asked_at = self._cancelled.setdefault(record.intent_id, now)
            if now - asked_at >= _CANCEL_AGAIN_S and (reads.orders_begun_at or 0.0) > asked_at:
                reopen_cancel(self._seat, record, reads.row_of(record.client_order_id))

    def _follow_orders(self) -> None:
        working = self._looks.at_broker()
        reads, options = self._looks.reads, self._seat.options
        now = self._seat.monotonic()
        if working and now >= self._status_due:
            pause_s = options.status_every_s if now < self._brisk_until else _SLOW_STATUS_S
            self._status_due = now + pause_s
            self._next_status = (self._next_status + 1) % len(working)
            self._look_at_status(working[self._next_status])
        if (self._looks.wants_trades and reads.may_read_trades()) or reads.trades_age_s() > _IDLE_TRADES_S:
            self._book()
        self._follow_hints()
        every_s = max(options.list_every_s, _LOOK_EVERY_S if working else options.idle_list_every_s)
        if reads.orders_age_s() > every_s or (self._wants_list and reads.may_read_orders()):
            self._wants_list = False
            self._looks.look_at_orders()

    def _follow_hints(self) -> None:
        """Orders that the stream spoke of and that the executions have not ended yet."""
        if not self._told_orders:
            return
        for record in self._looks.at_broker():
            if record.broker_order_id in self._told_orders:
                self._look_at_status(record)
        self._told_orders = set()

    def _look_at_status(self, record: IntentRecord) -> None:
        if record.broker_order_id is not None and self._looks.look_at_status(record):
            self._brisk_until = self._seat.monotonic() + _BRISK_S

    def _book(self) -> None:
        if self._looks.look_at_trades():
            self._snapshot_due = 0.0

    def _resolve_doubts(self) -> None:
        """Look for orders in doubt: both lists, read after the look was wanted, and then what they prove."""
        reads = self._looks.reads
        if self._look is None:
            if not self._seat.ledger.doubts.doubts():
                return
            conclude(self._seat)
            if reads.may_read_orders():
                self._looks.look_at_orders()
            looked_for = wanted(self._seat)
            if not looked_for:
                return
            self._look = (looked_for, self._seat.monotonic())
        looked_for, since = self._look
        if (reads.orders_begun_at or 0.0) < since and reads.may_read_orders():
            self._looks.look_at_orders()
        if (reads.trades_begun_at or 0.0) < since and reads.may_read_trades():
            self._book()
        if min(reads.orders_begun_at or 0.0, reads.trades_begun_at or 0.0) >= since:
            self._look = None
            observe(self._seat, reads, looked_for)
            conclude(self._seat)

    def _compare_account(self, now: datetime) -> None:
        is_due = self._seat.monotonic() >= self._snapshot_due or abs(now - self._snapshot_at) >= CLOCK_JUMP
        if not is_due or self._looks.wants_trades:
            return
        if self._looks.look_at_account():
            in_doubt = [record.client_order_id for record, _ in self._seat.ledger.doubts.doubts()]
            self._seat.ledger.differences.resolve("doubt_lasts", keep=in_doubt, resolved_by="not in doubt any more")
            self._is_day_known = False
            self._snapshot_at = now
            self._reconciled_at = self._seat.monotonic()
            self._snapshot_due = self._reconciled_at + self._seat.options.snapshot_every_s

"""Days made up at random: lost answers, late arrivals, fills, cancels and ends of the process in any order.

Whatever happens, the venue gets each decision once at most, and in the end both sides tell the same story.
"""

from __future__ import annotations

import tempfile
import uuid
from decimal import Decimal
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.domain.broker import BrokerOrderStatus
from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.domain.order import Side
from ibkr_assets_tests.execution.desk import Desk, an_intent
from ibkr_assets_tests.fakes.broker import FakeBroker

WORDS = ["accept", "lost", "dropped", "late", "rejected", "not_sent", "ask o163", "ask o354", "ask o163 o383"]
ACTIONS = ["propose", "turn", "turn", "fill", "cancelled", "crash", "crash in flight", "fake-empty", "again"]


class Day:
    """One day of one account."""

    def __init__(self, database, directory):
        self.desk = Desk(database, Path(directory), account=f"DU{uuid.uuid4().hex}", broker=FakeBroker())
        self.desk.start()
        self.records = []

    def do(self, action, number):
        try:
            getattr(self, "_" + action.replace(" ", "_").replace("-", "_"))(number)
        except Unavailable:
            self._crash(number)

    def _propose(self, number):
        side = Side.BUY if number % 2 else Side.SELL
        limit = Decimal(206) if side is Side.BUY else Decimal(194)
        intent = an_intent(
            len(self.records), account_ref=self.desk.ref, conid=1000 + number % 4, side=side, limit_price=limit,
            quantity=Decimal(1 + number % 7),
        )  # fmt: skip
        self.records.append(self.desk.propose(intent))

    def _again(self, number):
        if self.records:
            record = self.records[number % len(self.records)]
            assert not self.desk.propose(record.intent).is_new

    def _turn(self, number):
        self.desk.turn(1 + number % 3)

    def _fill(self, number):
        open_rows = [r for r in self.desk.broker.rows.values() if r.status is BrokerOrderStatus.PRE_SUBMITTED]
        if open_rows:
            row = open_rows[number % len(open_rows)]
            left = int(row.quantity - row.filled)
            self.desk.broker.fill(row.client_order_id, 1 + number % left, "200.25")

    def _cancelled(self, number):
        open_rows = [r for r in self.desk.broker.rows.values() if r.status is BrokerOrderStatus.PRE_SUBMITTED]
        if open_rows:
            row = open_rows[number % len(open_rows)]
            self.desk.broker.set_status(row.client_order_id, BrokerOrderStatus.CANCELLED)

    def _crash(self, number):
        self.desk.broker.has_fake_empty_list = False
        self.desk.stop()
        self.desk.start()

    def _crash_in_flight(self, number):
        """The process ends after the commit, before or after the venue heard of it."""
        approved = [r for r in self.desk.book.intents() if str(r.state) == "APPROVED"
                    and r.intent.account_ref == self.desk.ref]  # fmt: skip
        if approved and self.desk.ledger.sends.held_back_by(approved[0]) is None:
            from ibkr_assets_tests.execution.desk import ticket_of

            self.desk.ledger.sends.begin_send(
                approved[0], epoch=self.desk.seat.epoch, request={}, market_at=self.desk.market.now()
            )
            if number % 2:
                self.desk.broker.place(ticket_of(approved[0]))
        self._crash(number)

    def _fake_empty(self, number):
        self.desk.broker.has_fake_empty_list = number % 2 == 0

    def calm(self):
        """Nothing goes wrong any more; time passes until all is settled."""
        self.desk.broker.has_fake_empty_list = False
        self.desk.broker.script.clear()
        for _ in range(6):
            self.do("turn", 2)
        for row in list(self.desk.broker.rows.values()):
            if row.status is BrokerOrderStatus.PRE_SUBMITTED:
                self.desk.broker.set_status(row.client_order_id, BrokerOrderStatus.CANCELLED)
        for _ in range(6):
            self.do("turn", 2)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    script=st.lists(st.sampled_from(WORDS), max_size=8),
    steps=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1000)), min_size=3, max_size=20),
)
def test_on_any_day_each_decision_is_at_the_venue_once_and_both_sides_agree(database, script, steps):
    with tempfile.TemporaryDirectory() as directory:
        day = Day(database, directory)
        day.desk.broker.script.extend(script)
        for action, number in steps:
            day.do(action, number)
        day.calm()
        venue = day.desk.broker
        rows = {row.client_order_id: row for row in venue.rows.values()}
        assert len(rows) == len(venue.rows), "a decision is at the venue twice"
        for record in day.records:
            now = day.desk.record(record)
            assert now.state.is_terminal, f"{now.state}: {now.reason}"
            row = rows.get(record.client_order_id)
            assert (str(now.state) in ("FILLED", "CANCELLED")) == (row is not None), f"{now.state}: {now.reason}"
            assert now.filled == (0 if row is None else row.filled)
        books = day.desk.ledger.account.books()
        assert books.cash == venue.cash
        assert {c: h.quantity for c, h in books.holdings.items()} == {c: q for c, q in venue.held.items() if q}
        day.desk.stop()
        assert [found for found in check_invariants(database) if found["violations"]] == []

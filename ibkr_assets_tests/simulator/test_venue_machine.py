"""A venue that is driven at random: what holds at every point, and that its records alone give it back at any of them.

Acts are orders of every kind, brackets, changes, cancels, executions by hand, busts, and time that passes.
"""

from __future__ import annotations

import json
import random
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ibkr_assets.simulator.account import Account
from ibkr_assets.simulator.book import Book
from ibkr_assets.simulator.records import ENDS_A_MOMENT, Record, record_of, row_of
from ibkr_assets.simulator.tape import Tape
from ibkr_assets.simulator.tickets import Refused, Ticket
from ibkr_assets.simulator.venue import Venue
from ibkr_assets.simulator.venue_order import Status, VenueOrder
from ibkr_assets_tests.simulator.tapes import CONID, at, minute, minute_tape, small_tape

CASH = Decimal(1_000_000)
START = at(0, 12)
FINAL = (Status.FILLED, Status.CANCELLED)
cents = st.integers(8_000, 12_000).map(lambda value: Decimal(value) / 100)
sides = st.sampled_from(["BUY", "SELL"])
quantities = st.integers(1, 400).map(Decimal)
KINDS = ["LMT", "LMT", "MKT", "STP", "STOP_LIMIT", "TRAIL", "TRAILLMT", "MIDPRICE", "MOC", "LOC"]


def tape_of(seed: int, *, has_minutes: bool) -> Tape:
    """Three days with some minutes at the open and at the close, or the days alone; prices that orders have."""
    chance = random.Random(seed)
    days = []
    for _ in range(3):
        day = []
        for clock in ("13:30", "13:31", "13:32", "13:34", "15:00", "19:58", "19:59", "20:05"):
            low, *inner, high = sorted(Decimal(chance.randrange(8_000, 12_000)) / 100 for _ in range(4))
            opened, close = chance.sample(inner, 2)
            prices = (str(price) for price in (opened, high, low, close))
            day.append(minute(clock, *prices, volume=chance.randrange(3_000)))
        days.append(day)
    by_minute = minute_tape(*days)
    if has_minutes:
        return by_minute
    return small_tape([bar for s in by_minute.sessions if (bar := by_minute.bar(CONID, s.day)) is not None])


@st.composite
def tickets(draw: st.DrawFn) -> Ticket:
    kind = draw(st.sampled_from(KINDS))
    trails = kind in ("TRAIL", "TRAILLMT")
    price = None if kind in ("MKT", "MOC", "TRAIL") else draw(cents)
    life = "DAY" if kind in ("MOC", "LOC") else draw(st.sampled_from(["DAY", "GTC", "OPG", "IOC"]))
    return Ticket(
        None, CONID, draw(sides), kind, draw(quantities), price,
        draw(cents) if kind in ("STOP_LIMIT", "TRAILLMT") else None, life, draw(st.booleans()),
        Decimal(draw(st.integers(1, 300))) / 100 if trails else None,
        draw(st.sampled_from(["amt", "%"])) if trails else None,
    )  # fmt: skip


class VenueMachine(RuleBasedStateMachine):
    """The venue beside an account kept by hand from its fills and busts."""

    venue: Venue

    @initialize(seed=st.integers(0, 1 << 30), has_minutes=st.booleans(), wait_s=st.sampled_from([None, 30, 90]))
    def begin(self, seed: int, wait_s: int | None, *, has_minutes: bool) -> None:
        self.records: list[Record] = []
        self.cash, self.shares = CASH, Decimal(0)
        self.busted: set[int] = set()
        self.ended: dict[int, Status] = {}
        self.stops: dict[int, Decimal] = {}
        self.venue = Venue(tape_of(seed, has_minutes=has_minutes), "DU1", CASH, START, seed=3, sink=self.take)
        if wait_s is not None:
            self.venue.rules.cancel_after = timedelta(seconds=wait_s)

    def take(self, record: Record) -> None:
        self.records.append(record)
        if record.event in ("fill", "bust"):
            assert record.quantity is not None
            assert record.price is not None
            sign = (1 if record.side == "BUY" else -1) * (1 if record.event == "fill" else -1)
            fee = Decimal(record.detail["commission"]) * (1 if record.event == "fill" else -1)
            self.cash -= sign * record.quantity * record.price + fee
            self.shares += sign * record.quantity

    @property
    def live(self) -> list[VenueOrder]:
        return self.venue.book.live_orders()

    @rule(ticket=tickets())
    def submit(self, ticket: Ticket) -> None:
        try:
            self.venue.submit(ticket)
        except Refused:
            return

    @rule(ticket=tickets(), profit=cents, stop=cents)
    def submit_bracket(self, ticket: Ticket, profit: Decimal, stop: Decimal) -> None:
        try:
            parent = self.venue.submit(ticket)
        except Refused:
            return
        other = "SELL" if ticket.side == "BUY" else "BUY"
        for kind, price in (("LMT", profit), ("STP", stop)):
            self.venue.submit(
                Ticket(None, CONID, other, kind, ticket.quantity, price, None, "GTC", parent_id=parent.order_id)
            )

    @rule(minutes=st.sampled_from([0.5, 1, 2, 90, 400, 1440]), is_recorded=st.booleans())
    def pass_time(self, minutes: float, *, is_recorded: bool) -> None:
        self.venue.advance(self.venue.now + timedelta(minutes=minutes), is_recorded=is_recorded)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.venue.cancel(data.draw(st.sampled_from(self.live)), "")

    @precondition(lambda self: self.live)
    @rule(data=st.data(), price=cents, more=st.integers(1, 50))
    def modify(self, data: st.DataObject, price: Decimal, more: int) -> None:
        order = data.draw(st.sampled_from(self.live))
        if order.order_type != "LMT" or order.status is Status.PENDING_CANCEL:
            return
        changed = Ticket(
            None, CONID, order.side, "LMT", order.filled + more, price, None, order.time_in_force,
            order.is_outside_rth,
        )  # fmt: skip
        try:
            self.venue.modify(order, changed)
        except Refused:
            return

    @precondition(lambda self: any(order.tradable for order in self.live))
    @rule(data=st.data(), price=cents)
    def fill_by_hand(self, data: st.DataObject, price: Decimal) -> None:
        order = data.draw(st.sampled_from([order for order in self.live if order.tradable]))
        quantity = Decimal(data.draw(st.integers(1, int(order.tradable))))
        self.venue.execute_by_hand(CONID, order.side, quantity, price, order)

    @precondition(lambda self: self.venue.book.executions)
    @rule(data=st.data(), price=st.none() | cents)
    def bust(self, data: st.DataObject, price: Decimal | None) -> None:
        execution = data.draw(st.sampled_from(self.venue.book.executions))
        self.venue.bust(execution, price=price)
        if execution.order_id is not None:
            self.busted.add(execution.order_id)

    @invariant()
    def cash_and_shares_are_those_of_the_executions(self) -> None:
        account = self.venue.book.account
        assert (account.cash, account.quantity(CONID)) == (self.cash, self.shares)

    @invariant()
    def no_order_has_more_than_it_asked_for_or_leaves_its_end(self) -> None:
        for order_id, order in self.venue.book.orders.items():
            assert 0 <= order.filled <= order.quantity
            assert order.released is None or order.filled <= order.released <= order.quantity
            if order_id in self.ended:
                assert order.status is self.ended[order_id]
            elif order.status in FINAL:
                self.ended[order_id] = order.status
            assert order.is_live == (order_id in self.venue.book.live)
            if order.status is Status.FILLED and order_id not in self.busted:
                assert order.remaining == 0

    @invariant()
    def trailing_stops_move_in_the_order_s_favour_alone(self) -> None:
        for order in self.live:
            if order.is_trailing and order.trail_stop is not None:
                before = self.stops.setdefault(order.order_id, order.trail_stop)
                assert order.trail_stop <= before if order.is_buy else order.trail_stop >= before
                self.stops[order.order_id] = order.trail_stop

    def teardown(self) -> None:
        """At any point, the rows that were written give the state back; a moment cut in half happens again."""
        if not hasattr(self, "venue"):
            return
        rows = [json.loads(json.dumps(row_of(record, seq=None))) for record in self.records]
        again = Book(Account("DU1", CASH), START)
        for row in rows:
            again.apply(record_of(row))
        again.now = self.venue.now
        assert again == self.venue.book
        self.repeat_a_moment(rows)

    def repeat_a_moment(self, rows: list[dict[str, Any]]) -> None:
        """The newest moment of the market that made records: its rows are cut, and it happens again with the same."""
        ends = [i for i, record in enumerate(self.records) if record.event in ENDS_A_MOMENT]
        moments = [(i, j) for i, j in pairwise(ends) if j - i > 1 and self.is_of_market(i, j)]
        if not moments:
            return
        first, last = moments[-1]
        made: list[Record] = []
        venue = Venue(self.venue.tape, "DU1", CASH, START, seed=3, sink=made.append)
        venue.rules = self.venue.rules
        for row in rows[: first + 1]:
            venue.book.apply(record_of(row))
        venue.advance(self.records[last].at)
        assert [r for r in made if r.event != "clock"] == [
            r for r in self.records[first + 1 : last + 1] if r.event != "clock"
        ]

    def is_of_market(self, first: int, last: int) -> bool:
        return self.records[last].event == "clock" and self.records[first + 1].at > self.records[first].at


VenueMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
test_a_venue_driven_at_random = VenueMachine.TestCase

"""What holds on every tape and for every sequence of orders."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.simulator.account import Account
from ibkr_assets.simulator.bars import TapeBar
from ibkr_assets.simulator.book import Book
from ibkr_assets.simulator.records import Record, record_of, row_of
from ibkr_assets.simulator.tickets import Refused, Ticket
from ibkr_assets.simulator.venue import Venue
from ibkr_assets.simulator.venue_order import Status
from ibkr_assets_tests.simulator.tapes import CONID, at, small_tape

CASH = Decimal(1_000_000)
DAY_COUNT = 5


@st.composite
def tape_bars(draw: st.DrawFn) -> TapeBar:
    cents = sorted(draw(st.lists(st.integers(500, 20_000), min_size=4, max_size=4)))
    low, inner, outer, high = (Decimal(value) / 100 for value in cents)
    opened, close = draw(st.sampled_from([(inner, outer), (outer, inner)]))
    return TapeBar(opened, high, low, close, draw(st.integers(0, 5_000)))


@st.composite
def tickets(draw: st.DrawFn) -> Ticket:
    kind = draw(st.sampled_from(["LMT", "LMT", "MKT", "STP", "STOP_LIMIT"]))
    prices = st.integers(500, 20_000).map(lambda cents: Decimal(cents) / 100)
    return Ticket(
        None, CONID, draw(st.sampled_from(["BUY", "SELL"])), kind, Decimal(draw(st.integers(1, 700))),
        None if kind == "MKT" else draw(prices), draw(prices) if kind == "STOP_LIMIT" else None,
        draw(st.sampled_from(["DAY", "GTC", "OPG", "IOC"])),
    )  # fmt: skip


#: An act is an order or a number of hours to let pass.
acts = st.lists(st.one_of(tickets(), st.integers(1, 20)), max_size=25)


def play(bars: list[TapeBar], script: list[Ticket | int]) -> tuple[Venue, list[Record]]:
    from datetime import timedelta

    records: list[Record] = []
    venue = Venue(small_tape(bars), "DU1", CASH, at(0, 12), seed=3, sink=records.append)
    for act in script:
        if isinstance(act, int):
            venue.advance(venue.now + timedelta(hours=act))
        else:
            try:
                venue.submit(act)
            except Refused:
                continue
    return venue, records


@settings(max_examples=80, deadline=None)
@given(st.lists(tape_bars(), min_size=DAY_COUNT, max_size=DAY_COUNT), acts)
def test_cash_shares_and_nav_are_the_sums_of_the_fills(bars: list[TapeBar], script: list[Ticket | int]) -> None:
    venue, records = play(bars, script)
    cash, shares = CASH, Decimal(0)
    for record in records:
        if record.event == "fill":
            assert record.quantity is not None
            assert record.price is not None
            signed = record.quantity if record.side == "BUY" else -record.quantity
            cash -= signed * record.price + Decimal(record.detail["commission"])
            shares += signed
    assert venue.book.account.cash == cash
    assert venue.book.account.quantity(CONID) == shares
    assert venue.net_liquidation() == cash + shares * venue.last_price(CONID)
    assert sum((order.filled * order.sign for order in venue.book.orders.values()), Decimal(0)) == shares


@settings(max_examples=80, deadline=None)
@given(st.lists(tape_bars(), min_size=DAY_COUNT, max_size=DAY_COUNT), acts)
def test_no_fill_is_outside_its_limit_its_bar_or_its_volume(bars: list[TapeBar], script: list[Ticket | int]) -> None:
    venue, records = play(bars, script)
    taken: dict[object, Decimal] = {}
    for record in records:
        if record.event != "fill":
            continue
        assert record.order_id is not None
        assert record.quantity is not None
        assert record.price is not None
        order = venue.book.orders[record.order_id]
        bar = venue.tape.bar(CONID, record.at.date())
        assert bar is not None
        assert bar.low <= record.price <= bar.high
        if order.limit is not None:
            assert record.price <= order.limit if order.is_buy else record.price >= order.limit
        assert 0 < order.filled <= order.quantity
        taken[bar] = taken.get(bar, Decimal(0)) + record.quantity
        day_bars = bars.count(bar)
        assert taken[bar] <= day_bars * bar.volume / Decimal(10)


@settings(max_examples=80, deadline=None)
@given(st.lists(tape_bars(), min_size=DAY_COUNT, max_size=DAY_COUNT), acts)
def test_opg_never_survives_an_open_and_day_orders_never_a_close(
    bars: list[TapeBar], script: list[Ticket | int]
) -> None:
    venue, records = play(bars, script)
    accepted = {r.order_id: r for r in records if r.event == "accept"}
    for order_id, record in accepted.items():
        assert order_id is not None
        order = venue.book.orders[order_id]
        following = venue.tape.next_session(record.at)
        if order.time_in_force == "OPG" and following is not None and venue.now >= following.opens_at:
            assert not order.is_live
            assert order.updated_at == following.opens_at
        if order.time_in_force in ("DAY", "IOC") and order.is_live:
            session = venue.tape.open_session(record.at) or following
            assert session is None or venue.now < session.closes_at
        assert order.status in Status


@settings(max_examples=50, deadline=None)
@given(st.lists(tape_bars(), min_size=DAY_COUNT, max_size=DAY_COUNT), acts)
def test_rows_read_back_give_the_same_state_and_the_same_script_the_same_rows(
    bars: list[TapeBar], script: list[Ticket | int]
) -> None:
    venue, records = play(bars, script)
    rows = [row_of(record, seq=i) for i, record in enumerate(records)]
    again = Book(Account("DU1", CASH), at(0, 12))
    for row in rows:
        again.apply(record_of(row))
    assert again == venue.book
    assert play(bars, script)[1] == records

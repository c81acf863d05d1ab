"""Brackets, groups, cancels that take their time: who wakes, who goes, and with how many shares."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from ibkr_assets.simulator.tickets import Refused
from ibkr_assets.simulator.venue import Venue
from ibkr_assets.simulator.venue_order import Status, VenueOrder
from ibkr_assets_tests.simulator.tapes import at, bar, minute, minute_tape, small_tape, small_venue, ticket

DAYS = [
    bar("100", "105", "95", "102"),
    bar("101", "108", "99", "104"),
    bar("103", "110", "98", "106"),
    bar("107", "112", "105", "111"),
]


def bracket(venue: Venue, *, profit: str, stop: str, quantity: int = 10) -> tuple[VenueOrder, VenueOrder, VenueOrder]:
    """A buy at the open with a profit target and a stop."""
    parent = venue.submit(ticket("BUY", quantity, "105", coid="p"))
    children = (
        venue.submit(ticket("SELL", quantity, profit, life="GTC", parent_id=parent.order_id)),
        venue.submit(ticket("SELL", quantity, stop, kind="STP", life="GTC", parent_id=parent.order_id)),
    )
    return parent, *children


def test_children_sleep_until_the_parent_fills_and_one_fill_cancels_the_other() -> None:
    venue, _ = small_venue(small_tape(DAYS))
    parent, profit, stop = bracket(venue, profit="109", stop="90")
    assert (profit.status, profit.is_held, profit.group) == (Status.PRE_SUBMITTED, True, str(parent.order_id))
    venue.advance(at(1, 14))
    assert (parent.status, profit.status, stop.status) == (Status.FILLED, Status.SUBMITTED, Status.PRE_SUBMITTED)
    venue.advance(at(2, 21))
    assert (profit.status, profit.average_price, stop.status) == (Status.FILLED, Decimal(109), Status.CANCELLED)
    assert stop.cancel_reason == f"order {profit.order_id} of the same group was filled"
    assert venue.book.account.holding(parent.conid).quantity == 0


def test_where_a_bar_visits_both_prices_the_stop_came_first() -> None:
    venue, _ = small_venue(small_tape(DAYS))
    _, profit, stop = bracket(venue, profit="107", stop="99.5")
    venue.advance(at(1, 21))
    # The parent filled at the open of 101; the same day has a high of 108 and a low of 99.
    assert (stop.average_price, profit.status) == (Decimal("99.5"), Status.CANCELLED)


def test_a_parent_that_is_cancelled_unfilled_takes_its_children_with_it() -> None:
    venue, _ = small_venue(small_tape(DAYS))
    parent, profit, stop = bracket(venue, profit="107", stop="90")
    venue.cancel(parent, "")
    assert {profit.status, stop.status} == {Status.CANCELLED}
    assert venue.book.live_orders() == []


def test_a_child_can_go_alone() -> None:
    venue, _ = small_venue(small_tape(DAYS))
    parent, profit, stop = bracket(venue, profit="107", stop="90")
    venue.cancel(profit, "")
    assert (parent.status, stop.status) == (Status.PRE_SUBMITTED, Status.PRE_SUBMITTED)


def test_children_are_as_large_as_the_parent_s_fills() -> None:
    flat = [minute(f"13:{30 + i}", "100", "100", "100", "100", 100) for i in range(4)]
    rise = [minute("13:40", "110", "110", "110", "110", 10_000)]
    venue, _ = small_venue(minute_tape(flat, flat + rise))
    parent, profit, stop = bracket(venue, profit="109", stop="90", quantity=100)
    venue.advance(at(1, 13, 33) + timedelta(seconds=30))
    # By hand: a tenth of 100 shares in each of the minutes from 13:30 to 13:33.
    assert (parent.filled, profit.released, stop.tradable) == (Decimal(40), Decimal(40), Decimal(40))
    venue.cancel(parent, "")
    assert (profit.status, profit.quantity, profit.remaining) == (Status.SUBMITTED, Decimal(40), Decimal(40))
    venue.advance(at(1, 13, 45))
    assert (profit.filled, profit.status, stop.status) == (Decimal(40), Status.FILLED, Status.CANCELLED)


def test_a_child_that_was_made_smaller_stays_so_and_one_made_larger_grows_with_its_parent() -> None:
    flat = [minute(f"13:{30 + i}", "100", "100", "100", "100", 100) for i in range(4)]
    venue, _ = small_venue(minute_tape(flat, flat))
    parent, profit, stop = bracket(venue, profit="109", stop="90", quantity=100)
    venue.advance(at(1, 13, 33) + timedelta(seconds=30))
    venue.modify(profit, ticket("SELL", 15, "109", life="GTC", parent_id=parent.order_id))
    assert (profit.quantity, profit.tradable) == (Decimal(15), Decimal(6))  # the parent has 40 of 100
    venue.cancel(parent, "")
    assert (profit.quantity, stop.quantity) == (Decimal(6), Decimal(40))
    venue.modify(stop, ticket("SELL", 20, "90", kind="STP", life="GTC", parent_id=parent.order_id))
    assert (stop.quantity, stop.tradable) == (Decimal(20), Decimal(20))  # the parent is over: its part was the whole


def test_a_child_larger_than_its_parent_needs_funds_of_its_own() -> None:
    venue, _ = small_venue(small_tape(DAYS), cash="1060")
    parent = venue.submit(ticket("BUY", 10, "105"))
    with pytest.raises(Refused, match="MUST EXCEED THE INITIAL MARGIN"):
        venue.submit(ticket("SELL", 500, "120", parent_id=parent.order_id))


def test_of_a_group_without_a_parent_one_fill_is_the_end_of_the_others() -> None:
    venue, _ = small_venue(small_tape(DAYS))
    low, high = (venue.submit(ticket("BUY", 10, price, group="7", life="GTC")) for price in ("50", "101"))
    venue.advance(at(1, 14))
    assert (high.status, low.status) == (Status.FILLED, Status.CANCELLED)


def test_a_trailing_child_starts_where_the_market_is_when_it_wakes() -> None:
    venue, _ = small_venue(small_tape(DAYS))
    parent = venue.submit(ticket("BUY", 10, "105"))
    child = venue.submit(ticket("SELL", 10, None, kind="TRAIL", trail="5", life="GTC", parent_id=parent.order_id))
    assert child.trail_stop is None
    venue.advance(at(1, 14))
    assert child.trail_stop == Decimal(96)  # behind the open of 101
    venue.advance(at(1, 21))
    assert child.trail_stop == Decimal(103)  # behind the high of 108; the close of 104 is above it
    venue.advance(at(2, 14))
    assert (child.status, child.average_price) == (Status.FILLED, Decimal(103))  # the open is at the stop


def test_a_closing_child_needs_no_funds_and_takes_none() -> None:
    venue, _ = small_venue(small_tape(DAYS), cash="1060")
    funds = venue.available_funds()
    parent = venue.submit(ticket("BUY", 10, "105"))
    after_parent = venue.available_funds()
    assert after_parent < funds
    for kind, price in (("LMT", "120"), ("STP", "90")):
        venue.submit(ticket("SELL", 10, price, kind=kind, parent_id=parent.order_id))
    assert venue.available_funds() == after_parent


def test_a_working_order_may_be_pending_cancel_and_still_fill() -> None:
    minutes = [minute("13:30", "100", "100", "100", "100"), minute("13:31", "100", "100", "90", "95")]
    venue, _ = small_venue(minute_tape(minutes, minutes))
    venue.rules.cancel_after = timedelta(seconds=90)
    resting = venue.submit(ticket(price="80"))
    venue.cancel(resting, "")
    assert resting.status is Status.CANCELLED  # it did not work yet: gone at once
    venue.advance(at(1, 13, 30) + timedelta(seconds=40))
    far, near = venue.submit(ticket(price="80")), venue.submit(ticket(price="92"))
    for order in (far, near):
        venue.cancel(order, "")
        assert (order.status, order.is_live) == (Status.PENDING_CANCEL, True)
    venue.advance(at(1, 13, 32))
    assert (near.status, far.status) == (Status.FILLED, Status.PENDING_CANCEL)
    venue.advance(at(1, 13, 33))
    assert (far.status, far.updated_at) == (Status.CANCELLED, at(1, 13, 32) + timedelta(seconds=10))


def test_an_inactive_order_is_not_tried_before_it_is_transmitted() -> None:
    venue, _ = small_venue(small_tape(DAYS))
    order = venue.shelve(ticket("BUY", 10, "105"), "p12")
    assert (order.status, venue.book.live_orders()) == (Status.INACTIVE, [])
    venue.advance(at(1, 21))
    assert order.filled == 0
    venue.revive(order)
    assert order.status is Status.PRE_SUBMITTED
    venue.advance(at(2, 14))
    assert order.average_price == Decimal(103)

"""Orders, opens, closes and corporate actions on tapes small enough to work out by hand."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from ibkr_assets.simulator.account import Account
from ibkr_assets.simulator.book import Book
from ibkr_assets.simulator.tape import ActionKind, CorporateAction
from ibkr_assets.simulator.tickets import DuplicateCoid, Refused
from ibkr_assets.simulator.venue_order import Status
from ibkr_assets_tests.simulator.tapes import CONID, FIRST, at, bar, small_tape, small_venue, ticket

DAYS = [
    bar("100", "105", "95", "102"),
    bar("101", "108", "99", "104"),
    bar("103", "110", "98", "106"),
    bar("107", "112", "105", "111"),
]


@pytest.mark.parametrize(
    ("side", "price", "status", "filled_at"),
    [
        ("BUY", "101", Status.FILLED, "101"),
        ("BUY", "103", Status.FILLED, "101"),
        ("BUY", "100.99", Status.CANCELLED, None),
        ("SELL", "101", Status.FILLED, "101"),
        ("SELL", "99", Status.FILLED, "101"),
        ("SELL", "101.01", Status.CANCELLED, None),
    ],
)
def test_limit_on_open_fills_at_the_open_or_dies(side: str, price: str, status: Status, filled_at: str | None) -> None:
    venue, _ = small_venue(small_tape(DAYS))
    order = venue.submit(ticket(side, price=price, life="OPG"))
    assert order.status is Status.PRE_SUBMITTED
    venue.advance(at(1, 13, 30))
    assert order.status is status
    assert order.average_price == (None if filled_at is None else Decimal(filled_at))


@pytest.mark.parametrize(
    ("side", "price", "expected"),
    [
        ("BUY", "100", "100"),  # below the open, touched by the low of 99
        ("BUY", "98.99", None),
        ("SELL", "107", "107"),  # above the open, touched by the high of 108
        ("SELL", "108.01", None),
    ],
)
def test_day_limit_fills_at_its_limit_when_the_day_touched_it(side: str, price: str, expected: str | None) -> None:
    venue, records = small_venue(small_tape(DAYS))
    order = venue.submit(ticket(side, price=price))
    venue.advance(at(1, 19, 59))
    assert order.status is Status.SUBMITTED
    venue.advance(at(1, 20))
    assert order.average_price == (None if expected is None else Decimal(expected))
    assert order.status is (Status.FILLED if expected else Status.CANCELLED)
    if expected:
        assert next(r.at for r in records if r.event == "fill") == at(1, 20)


def test_market_order_before_the_open_fills_at_the_open() -> None:
    venue, _ = small_venue(small_tape(DAYS))
    order = venue.submit(ticket(price=None, kind="MKT"))
    venue.advance(at(1, 13, 30))
    assert (order.status, order.average_price, order.updated_at) == (Status.FILLED, Decimal(101), at(1, 13, 30))


@pytest.mark.parametrize(
    ("price", "kind", "expected"),
    [("104", "LMT", "104"), ("110", "LMT", "104"), ("103.99", "LMT", None), (None, "MKT", "104")],
)
def test_an_order_entered_while_the_session_is_on_sees_the_close_alone(
    price: str | None, kind: str, expected: str | None
) -> None:
    venue, _ = small_venue(small_tape(DAYS))
    venue.advance(at(1, 15))
    order = venue.submit(ticket(price=price, kind=kind))
    assert order.status is Status.SUBMITTED
    venue.advance(at(1, 20))
    assert order.average_price == (None if expected is None else Decimal(expected))


def test_good_till_cancelled_rests_over_night_and_fills_later() -> None:
    venue, _ = small_venue(small_tape(DAYS))
    order = venue.submit(ticket("BUY", price="98", life="GTC"))
    venue.advance(at(1, 21))
    assert order.status is Status.PRE_SUBMITTED
    venue.advance(at(2, 21))
    assert (order.status, order.average_price) == (Status.FILLED, Decimal(98))


@pytest.mark.parametrize(
    ("side", "kind", "price", "aux", "expected"),
    [
        ("BUY", "STP", "107", None, "107"),
        ("BUY", "STP", "100", None, "101"),  # reached at the open already
        ("SELL", "STP", "99.5", None, "99.5"),
        ("BUY", "STP", "109", None, None),
        ("BUY", "STOP_LIMIT", "107", "106", "106"),
        ("BUY", "STOP_LIMIT", "105", "106", None),
    ],
)
def test_stops_wait_for_their_price(side: str, kind: str, price: str, aux: str | None, expected: str | None) -> None:
    venue, _ = small_venue(small_tape(DAYS))
    order = venue.submit(ticket(side, price=price, kind=kind, aux=aux))
    venue.advance(at(1, 20))
    assert order.average_price == (None if expected is None else Decimal(expected))


def test_a_large_order_takes_a_tenth_of_the_volume_and_no_more() -> None:
    venue, _ = small_venue(small_tape([bar("10", "11", "9", "10", 1000)] * 4))
    order = venue.submit(ticket(quantity=250, price="12", life="GTC"))
    opg = venue.submit(ticket(quantity=50, price="12", life="OPG"))
    venue.advance(at(1, 21))
    assert (order.filled, order.status) == (Decimal(100), Status.PRE_SUBMITTED)
    assert (opg.filled, opg.status) == (Decimal(0), Status.CANCELLED)
    venue.advance(at(2, 21))
    assert order.filled == 200
    venue.advance(at(3, 21))
    assert (order.filled, order.status) == (Decimal(250), Status.FILLED)
    # By hand: 250 shares cost 1.25 in one order, however many executions it took.
    assert order.commission == Decimal("1.25")


def test_cash_and_nav_follow_a_round_trip() -> None:
    venue, _ = small_venue(small_tape(DAYS))
    venue.submit(ticket("BUY", 10, "103", life="OPG"))
    venue.advance(at(1, 21))
    # By hand: 10 x 101 and 1.00 commission leave 98,989; at the close of 104 the shares are worth 1,040.
    assert venue.book.account.cash == Decimal(98_989)
    assert venue.net_liquidation() == Decimal(100_029)
    venue.submit(ticket("SELL", 10, "100", life="OPG"))
    venue.advance(at(2, 13, 30))
    assert venue.book.account.cash == Decimal(98_989) + 10 * 103 - 1
    assert venue.book.account.holding(CONID).realized == 20


def test_a_split_doubles_the_shares_and_leaves_the_wealth() -> None:
    tape = small_tape(
        [bar("100", "101", "99", "100"), bar("100", "101", "99", "100"), bar("50", "51", "49", "50")],
        [CorporateAction(CONID, FIRST + timedelta(days=2), ActionKind.SPLIT, Decimal(2))],
    )
    venue, _ = small_venue(tape)
    venue.submit(ticket("BUY", 10, "100", life="OPG"))
    resting = venue.submit(ticket("BUY", 10, "90", life="GTC"))
    venue.advance(at(1, 21))
    before = venue.net_liquidation()
    venue.advance(at(2, 13, 30))
    holding = venue.book.account.holding(CONID)
    assert (holding.quantity, holding.average_price) == (Decimal(20), Decimal(50))
    assert venue.net_liquidation() == before
    assert resting.status is Status.CANCELLED


def test_a_dividend_is_owed_from_the_ex_date_and_paid_two_weeks_later() -> None:
    flat = [bar("100", "100", "100", "100")] * 20
    tape = small_tape(flat, [CorporateAction(CONID, FIRST + timedelta(days=2), ActionKind.DIVIDEND, Decimal("0.85"))])
    venue, records = small_venue(tape)
    venue.submit(ticket("BUY", 10, "100", life="OPG"))
    venue.advance(at(1, 21))
    cash = venue.book.account.cash
    venue.submit(ticket("SELL", 10, "100", life="OPG"))  # sold at the ex-date's open: still entitled
    venue.advance(at(2, 13, 30))
    assert venue.book.account.accrued_dividends == Decimal("8.50")
    assert venue.net_liquidation() == cash + 1000 - 1 + Decimal("8.50")
    venue.advance(at(15, 21))
    assert venue.book.account.accrued_dividends == Decimal("8.50")
    venue.advance(at(16, 13, 30))
    assert venue.book.account.accrued_dividends == 0
    assert venue.book.account.cash == cash + 1000 - 1 + Decimal("8.50")
    assert [r.event for r in records if r.event in ("dividend", "payment")] == ["dividend", "payment"]


def test_a_coid_is_refused_for_a_day_of_market_time() -> None:
    venue, _ = small_venue(small_tape(DAYS))
    venue.submit(ticket(coid="q1-a", life="OPG"))
    venue.advance(at(1, 20, 59))
    with pytest.raises(DuplicateCoid, match="Local order ID=q1-a is already registered"):
        venue.submit(ticket(coid="q1-a"))
    venue.advance(at(1, 21))
    venue.submit(ticket(coid="q1-a"))


def test_a_buy_beyond_the_available_funds_is_refused_and_reserves_count() -> None:
    venue, _ = small_venue(small_tape(DAYS), cash="10000")
    venue.submit(ticket(quantity=60, price="100"))
    with pytest.raises(Refused, match="MUST EXCEED THE INITIAL MARGIN"):
        venue.submit(ticket(quantity=40, price="100"))
    venue.submit(ticket(quantity=39, price="100"))


def test_a_short_sale_is_a_margin_account_s_and_can_be_forbidden() -> None:
    venue, _ = small_venue(small_tape(DAYS))
    order = venue.submit(ticket("SELL", 10, "90", life="OPG"))
    venue.advance(at(1, 13, 30))
    assert order.status is Status.FILLED
    assert venue.book.account.quantity(CONID) == -10
    strict, _ = small_venue(small_tape(DAYS), can_short=False)
    with pytest.raises(Refused, match="SHORT SALES"):
        strict.submit(ticket("SELL", 10, "90"))


def test_a_price_between_two_ticks_is_refused() -> None:
    venue, _ = small_venue(small_tape(DAYS))
    with pytest.raises(Refused, match="minimum price variation"):
        venue.submit(ticket(price="100.005"))
    assert venue.submit(ticket(price="0.5051")).price == Decimal("0.5051")
    with pytest.raises(Refused, match="minimum price variation"):
        venue.submit(ticket(price="0.50505"))


def test_a_bust_takes_cash_and_shares_back_and_a_correction_raises_the_revision() -> None:
    venue, _ = small_venue(small_tape(DAYS))
    venue.submit(ticket("BUY", 10, "103", life="OPG", coid="q1-a"))
    venue.advance(at(1, 14))
    (execution,) = venue.book.executions
    corrected = venue.bust(execution, price=Decimal(100))
    assert corrected == execution.execution_id[:-2] + "02"
    assert venue.book.account.cash == Decimal(100_000) - 1000 - 1
    (execution,) = venue.book.executions
    venue.bust(execution)
    assert venue.book.account.cash == 100_000
    assert venue.book.account.quantity(CONID) == 0


def test_the_clock_never_runs_backwards() -> None:
    venue, _ = small_venue(small_tape(DAYS))
    with pytest.raises(ValueError, match="backwards"):
        venue.advance(at(0, 20))


def test_records_alone_rebuild_the_state() -> None:
    venue, records = small_venue(small_tape(DAYS))
    venue.submit(ticket("BUY", 10, "103", life="OPG", coid="q1-a"))
    venue.submit(ticket("BUY", 5, "98", life="GTC", coid="q1-b"))
    venue.advance(at(1, 15))
    venue.submit(ticket("SELL", 3, "150", coid="q1-c"))
    again = Book(Account("DU1", Decimal(100_000)), at(0, 21))
    for record in records:
        again.apply(record)
    assert again == venue.book

"""Closing everything: which orders, and that it takes two persons."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from ibkr_assets.domain.broker import Quote
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.order import Mode, Side, TimeInForce
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.execution.flatten import closing_orders
from ibkr_assets_tests.execution.desk import REF, an_intent, approve
from ibkr_assets_tests.execution.test_kill import ACCOUNT_SCOPE, hold

OPENS, CLOSES = datetime(2012, 10, 2, 13, 30, tzinfo=UTC), datetime(2012, 10, 2, 20, tzinfo=UTC)
SESSION = TradingSession("XNYS", date(2012, 10, 2), OPENS, CLOSES)
IBM, MSFT = Instrument(8314, "IBM", "NYSE"), Instrument(272093, "MSFT", "NASDAQ")
COLLAR = Decimal("0.03")
COLLARS = {8314: Decimal("6.30"), 272093: Decimal("0.88"), 1: Decimal(1)}


def quote(conid, last):
    return Quote(conid, Decimal(last), None, None, is_halted=False, availability="R", updated_at=OPENS)


QUOTES = {8314: quote(8314, "210.37"), 272093: quote(272093, "29.51")}


def close(held, now, quotes=QUOTES):
    return closing_orders(
        {conid: Decimal(q) for conid, q in held.items()}, quotes, [IBM, MSFT],
        account_ref=REF, mode=Mode.SIM, now=now, session=SESSION, collars_usd=COLLARS,
    )  # fmt: skip


def test_every_position_is_closed_exactly_by_a_limit_that_the_collar_passes():
    sale, purchase = close({8314: 30, 272093: -7, 5: 0}, OPENS.replace(hour=15))
    assert (sale.side, sale.quantity, sale.limit_price) == (Side.SELL, 30, Decimal("207.22"))
    assert (purchase.side, purchase.quantity, purchase.limit_price) == (Side.BUY, 7, Decimal("29.95"))
    for intent in (sale, purchase):
        assert abs(intent.limit_price / QUOTES[intent.conid].last - 1) <= COLLAR
        assert (intent.time_in_force, intent.valid_until, intent.purpose) == (TimeInForce.DAY, CLOSES, "reduce")


def test_before_the_session_they_are_for_its_opening():
    (intent,) = close({8314: 1}, OPENS.replace(hour=9))
    assert (intent.time_in_force, intent.valid_until) == (TimeInForce.OPENING, OPENS)


@pytest.mark.parametrize(
    "quotes", [{}, {8314: replace(QUOTES[8314], last=None)}, {8314: replace(QUOTES[8314], is_halted=True)}]
)
def test_a_position_without_a_price_closes_nothing_and_is_named(quotes):
    with pytest.raises(InputError, match="position of 30 in conid 8314 has no price"):
        close({8314: 30}, OPENS, quotes)


def test_it_takes_two_persons_from_two_logins_within_a_quarter_of_an_hour(desk):
    def ask(action, actor, session, **evidence):
        desk.whole_ledger.control(
            action, scope=ACCOUNT_SCOPE, actor=actor, session=session, reason="a test", evidence=evidence
        )

    permission = desk.ledger.permission
    with pytest.raises(InputError, match="needs a second person"):
        ask("kill_flatten", "one", "a")
    ask("kill_cancel", "one", "a", flatten="asked")
    for actor, session in (("one", "a"), ("one", "b"), ("two", "a")):
        assert not permission.is_flatten_asked_by_another(actor=actor, session=session)
        with pytest.raises(InputError, match="needs a second person"):
            ask("kill_flatten", actor, session)
    assert permission.is_flatten_asked_by_another(actor="two", session="b")
    ask("kill_flatten", "two", "b")
    ask("resume", "two", "b")
    assert not permission.is_flatten_asked_by_another(actor="two", session="b")


def test_under_a_flatten_working_orders_are_cancelled_and_the_closing_ones_leave(desk):
    desk.start()
    hold(desk)
    working = desk.propose(an_intent(2))
    desk.turn(2)
    for action, actor in (("kill_cancel", "one"), ("kill_flatten", "two")):
        desk.whole_ledger.control(
            action, scope=ACCOUNT_SCOPE, actor=actor, session=actor, reason="a test", evidence={"flatten": "asked"}
        )
    desk.turn(4)
    assert str(desk.record(working).state) == "CANCELLED"
    held = {conid: holding.quantity for conid, holding in desk.ledger.account.books().holdings.items()}
    session = TradingSession("XNYS", date(2012, 10, 2), OPENS, CLOSES)
    (intent,) = closing_orders(
        held, {8314: quote(8314, "200")}, [IBM], account_ref=REF, mode=Mode.SIM, now=desk.market.now(),
        session=session, collars_usd=COLLARS,
    )  # fmt: skip
    record = desk.book.propose(intent, approve, now=desk.market.now(), dagster_run_id=None, created_by="hand")
    desk.turn(2)
    desk.broker.fill(record.client_order_id, 10, "199")
    desk.turn(3)
    assert str(desk.record(record).state) == "FILLED"
    assert all(holding.quantity == 0 for holding in desk.ledger.account.books().holdings.values())

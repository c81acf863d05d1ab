"""From signals to stored intents, with the real sizing, planning, review and ledger."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.errors import ConfigurationError, Unavailable
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.order import Mode, TimeInForce
from ibkr_assets.domain.signal import Direction, Signal
from ibkr_assets.execution.propose import age_in_bars, propose_orders
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.ports import StrategyRecord
from ibkr_assets.risk.engine import Limits
from ibkr_assets_tests.execution.desk import REF
from ibkr_assets_tests.execution.furnished import furnish, furnished_book, store_nav
from ibkr_assets_tests.fakes.clock import FixedClock

DAY = date(2012, 10, 1)
STRATEGY = StrategyRecord(
    id="sma", version=1, kind="sma_cross", params={}, symbols=("IBM", "MSFT"), bar_size="1d", schedule="",
    sizing="percent:5", risk={}, account=None, is_enabled=True,
)  # fmt: skip
INSTRUMENTS = [Instrument(8314, "IBM", "NYSE"), Instrument(272093, "MSFT", "NASDAQ")]
LIMITS = Limits(
    allowed_symbols=frozenset({"IBM"}), max_order_value_usd=Decimal(10_000), max_order_nav_fraction=Decimal("0.1"),
    max_position_nav_fraction=Decimal("0.1"), price_collar_fraction=Decimal("0.03"), may_short=False,
)  # fmt: skip


def signal(symbol="IBM", conid=8314, reference="200", day=DAY):
    session = exchange_calendar("XNYS").session(day)
    return Signal(
        "sma", 1, conid, symbol, day, session.closes_at, Direction.LONG, 1.0, Decimal(reference), "f", "i", "because"
    )


@pytest.fixture
def world(database):
    """A reconciled account of 100,000 USD, a quarter of an hour after the close."""
    calendar = exchange_calendar("XNYS")
    clock = FixedClock(calendar.session(DAY).closes_at + timedelta(minutes=15))
    book = furnished_book(database)

    def propose(signals, *, mode=Mode.SIM, platform_mode=Mode.SIM):
        return propose_orders(
            signals, strategy=STRATEGY, book=book, instruments=INSTRUMENTS, calendar=calendar, clock=clock,
            limits=LIMITS, account_ref=REF, mode=mode, platform_mode=platform_mode, dagster_run_id="run",
            created_by="test",
        )  # fmt: skip

    propose.book = book
    propose.clock = clock
    propose.set_nav = lambda usd: set_nav(database, Decimal(usd), clock.moment)
    return propose


def set_nav(database, usd, at):
    ledger = PostgresLedger(database)
    if not ledger.of_account(REF).account.books().is_opened:
        furnish(database, nav=usd, symbols={i.conid: i.symbol for i in INSTRUMENTS}, last_day=DAY)
    else:
        store_nav(ledger, REF, usd, at)


def test_a_signal_becomes_an_approved_intent_of_the_right_size_and_time(world):
    world.set_nav(100_000)
    (record,) = world([signal()])
    intent = record.intent
    assert str(record.state) == "APPROVED"
    assert (intent.quantity, intent.limit_price, intent.time_in_force) == (25, 206, TimeInForce.OPENING)
    assert intent.valid_until == exchange_calendar("XNYS").session(date(2012, 10, 2)).opens_at


def test_every_intent_gets_an_answer_and_a_denied_one_says_why(world):
    world.set_nav(100_000)
    records = world([signal(), signal("MSFT", 272093, "29")])
    assert [(r.intent.symbol, str(r.state)) for r in records] == [("IBM", "APPROVED"), ("MSFT", "DENIED")]
    assert "MSFT" in records[1].reason


def test_without_a_net_asset_value_nothing_is_proposed_and_it_may_be_tried_again(world):
    with pytest.raises(Unavailable, match="has not reconciled"):
        world([signal()])
    world.set_nav(100_000)
    assert len(world([signal()])) == 1


def test_doing_it_again_whatever_has_moved_proposes_nothing_new(world):
    world.set_nav(100_000)
    first = world([signal()])
    world.set_nav(250_000)
    world.clock.moment += timedelta(minutes=5)
    again = world([signal()])
    assert [r.intent_id for r in again] == [r.intent_id for r in first]
    assert [r.is_new for r in first + again] == [True, False]
    assert len(world.book.intents()) == 1


def test_a_limit_is_planned_no_further_from_the_close_than_the_review_allows(world, database):
    world.set_nav(100_000)
    with database.connect() as connection:
        connection.execute("update md.bar set high = 201.5, low = 198.5")  # a daily range of 3 USD, 1.5 %
    (record,) = world([signal()])
    assert (str(record.state), record.intent.limit_price) == ("APPROVED", 203)


@pytest.mark.parametrize(
    ("hours", "bars"),
    [(0, "0"), (17.5, "0"), (20.75, "0.5"), (24, "1"), (24 + 17.5 + 3.25, "1.5"), (24 * 4 + 20.75, "4"), (-1, None)],
)
def test_a_decision_ages_by_sessions_of_the_exchange(hours, bars):
    close = exchange_calendar("XNYS").session(DAY).closes_at  # a Monday
    age = age_in_bars(exchange_calendar("XNYS"), close, close + timedelta(hours=hours))
    assert age == (None if bars is None else Decimal(bars))


def test_a_weekend_ages_no_decision():
    calendar = exchange_calendar("XNYS")
    friday = calendar.session(date(2012, 10, 5))
    assert age_in_bars(calendar, friday.closes_at, calendar.next_session(friday.day).opens_at) == 0


def test_a_backfill_of_the_past_sends_nothing(world):
    world.set_nav(100_000)
    world.clock.moment += timedelta(days=90)
    calendar = exchange_calendar("XNYS")
    days = [session.day for session in calendar.sessions(date(2012, 9, 4), date(2012, 9, 28))]
    records = world([signal(day=day) for day in days])
    assert len(records) == len(days)
    assert {str(record.state) for record in records} == {"EXPIRED_UNSENT"}


def test_a_rehearsal_is_an_intent_of_its_own_and_leaves_the_real_one_free(world):
    world.set_nav(100_000)
    (rehearsed,) = world([signal()], mode=Mode.DRY_RUN)
    (real,) = world([signal()])
    assert (rehearsed.intent.mode, real.intent.mode) == (Mode.DRY_RUN, Mode.SIM)
    assert real.is_new
    assert real.intent.quantity == rehearsed.intent.quantity


def test_orders_of_another_mode_than_the_platforms_are_refused(world):
    with pytest.raises(ConfigurationError, match="mode"):
        world([signal()], mode=Mode.SIM, platform_mode=Mode.DRY_RUN)


def test_no_signals_are_no_orders(world):
    assert world([]) == []

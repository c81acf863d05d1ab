"""Shares that come without a trade: splits are booked and followed, everything else waits for a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from ibkr_assets.adapters.postgres.account_history import load_history
from ibkr_assets.adapters.postgres.resolutions import PostgresResolutions
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.order import Mode, OrderState
from ibkr_assets.portfolio.statement import results_by_position, results_by_strategy, sum_up
from ibkr_assets_tests.execution.desk import EVENING, REF, an_intent
from ibkr_assets_tests.fakes.broker import AT
from ibkr_assets_tests.faults.trading import Trading
from ibkr_assets_tests.gateway import start_gateway

D = Decimal
AAPL = 265598


@pytest.fixture
def before_the_split(database_url, tmp_path) -> Iterator[Trading]:
    """A platform on the evening of 23 February 2005 on the real tape; AAPL splits two for one on the 28th."""
    with start_gateway(clock_start="2005-02-14T22:00:00+00:00") as gateway:
        trading = Trading(gateway, database_url, tmp_path)
        yield trading
        trading.stop()


def navs(database) -> tuple[Decimal, Decimal]:
    with database.connect() as connection:
        row = connection.execute(
            "select nav_platform_usd, nav_broker_usd from oms.account_snapshot order by snapshot_id desc limit 1"
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def events(database) -> list[tuple[str, int, Decimal, int | None, int | None]]:
    with database.connect() as connection:
        rows = connection.execute(
            "select kind, conid, quantity, new_shares, old_shares from oms.position_event order by event_id"
        ).fetchall()
    return [(kind, conid, quantity.normalize(), new, old) for kind, conid, quantity, new, old in rows]


def test_a_split_on_the_real_tape_is_booked_and_the_account_is_worth_the_same_on_both_sides(before_the_split):
    trading = before_the_split
    client = trading.client()
    instrument = Instrument(AAPL, "AAPL", exchange="SMART", currency="USD")
    close = client.quotes([instrument])[AAPL].last
    client.close()
    trading.start()
    limit = round(close * D("1.02"), 2)
    record = trading.propose("AAPL", 40, reference_price=close, limit_price=limit)
    trading.wait_for(record, OrderState.WORKING)
    trading.open_market()
    trading.wait_for(record, OrderState.FILLED, filled=40)
    trading.gateway.set_clock("2005-02-25T22:00:00+00:00")
    trading.wait("the position is valued", lambda: navs(trading.database)[0] != D(100_000))
    trading.gateway.set_clock("2005-02-28T15:00:00+00:00")
    trading.wait("the split is booked", lambda: events(trading.database) != [])
    assert events(trading.database) == [("split", AAPL, 40, 2, 1)]
    trading.wait("nothing is different", lambda: trading.breaks() == {})
    platform, broker = navs(trading.database)
    assert platform == broker
    assert trading.ledger.account.books().holdings[AAPL].quantity == 80
    assert trading.book.held_and_working(trading.ref, Mode.SIM, record.intent.strategy_id) == {AAPL: 80}
    history = load_history(trading.database, trading.ref)
    (held,), (of_strategy,) = results_by_position(history), results_by_strategy(history)
    assert replace(of_strategy, owner="") == held
    assert (held.quantity, held.average_cost) == (80, record_price(trading, record) / 2)
    assert sum_up(history).other == 0


def record_price(trading, record) -> Decimal:
    price = trading.record(record).average_price
    assert price is not None
    return price


def hold(desk, shares: int, price: str = "200", number: int = 1):
    """Buy, and let a look agree."""
    record = desk.propose(an_intent(number, quantity=D(shares), valid_until=AT + timedelta(hours=1)))
    desk.turn(2)
    desk.move_market(AT + timedelta(minutes=number))
    desk.broker.prices[8314] = D(price)
    desk.broker.costs[8314] = D(price)
    desk.broker.fill(record.client_order_id, shares, price)
    desk.turn(12)
    assert desk.breaks() == {}
    return record


def move(desk, conid: int, quantity: str, cost: str, price: str) -> None:
    desk.broker.held[conid] = D(quantity)
    desk.broker.costs[conid], desk.broker.prices[conid] = D(cost), D(price)
    desk.move_market(desk.market.now() + timedelta(hours=17))
    desk.turn(30)


def test_a_split_is_followed_by_the_shares_of_every_strategy_whole_ones_only(desk):
    desk.start()
    hold(desk, 7)
    hold(desk, 3, number=2)
    move(desk, 8314, "15", "133.3333", "134")
    assert events(desk.database) == [("split", 8314, 5, 3, 2)]
    assert desk.breaks() == {}
    assert desk.book.held_and_working(REF, Mode.SIM, "s1") == {8314: 10}
    assert desk.book.held_and_working(REF, Mode.SIM, "s2") == {8314: 4}
    by_owner = {row.owner: row.quantity for row in results_by_strategy(load_history(desk.database, REF))}
    assert by_owner == {"s1": 10, "s2": 4, "-": 1}


def test_what_a_strategy_buys_after_a_split_is_not_split_again(desk):
    desk.start()
    hold(desk, 10)
    move(desk, 8314, "70", "28.57", "29")
    bought = desk.propose(an_intent(1, purpose="more", quantity=D(5), limit_price=D(29), reference_price=D(29),
                                    valid_until=desk.market.now() + timedelta(hours=1)))  # fmt: skip
    desk.turn(2)
    assert desk.record(bought).state is OrderState.WORKING
    fill = desk.broker.fill(bought.client_order_id, 5, "29")
    desk.broker.fills[-1] = replace(fill, executed_at=desk.market.now())
    desk.turn(12)
    assert desk.book.held_and_working(REF, Mode.SIM, "s1") == {8314: 75}


@pytest.mark.parametrize(
    ("quantity", "cost", "price"),
    [
        ("20", "200", "101"),  # bought by somebody else
        ("20", "100", "200"),  # came for nothing
        ("33", "60.6", "66"),  # not a ratio of whole shares
    ],
)
def test_shares_that_no_split_explains_block_their_instrument(desk, quantity, cost, price):
    desk.start()
    hold(desk, 10)
    move(desk, 8314, quantity, cost, price)
    assert events(desk.database) == []
    assert desk.breaks()["position"] == "conid"


def test_a_spin_off_comes_as_another_instrument_and_waits_until_an_operator_takes_it_over(desk):
    desk.start()
    hold(desk, 10)
    move(desk, 999, "10", "0", "50")
    assert desk.breaks() == {"position": "conid", "nav": "nothing"}
    differences = PostgresResolutions(desk.database, REF)
    number = next(found["break_id"] for found in differences.breaks() if found["kind"] == "position")
    differences.resolve(number, actor="ann", reason="spin-off of IBM", market_at=EVENING, is_adopted=True)
    desk.turn(12)
    assert desk.breaks() == {}
    assert events(desk.database) == [("adjustment", 999, 10, None, None)]
    assert desk.ledger.account.books().holdings[999].quantity == 10
    with pytest.raises(InputError, match="was resolved before, by ann: spin-off of IBM"):
        differences.resolve(number, actor="bob", reason="again", market_at=EVENING)


def test_an_operator_says_what_split_it_was_where_the_figures_do_not(desk):
    desk.start()
    hold(desk, 10)
    desk.broker.cash += 200  # for the third of a share that is left of one for three
    move(desk, 8314, "3", "600", "600")
    differences = PostgresResolutions(desk.database, REF)
    numbers = {found["kind"]: found["break_id"] for found in differences.breaks()}
    differences.resolve(
        numbers["position"], actor="ann", reason="1:3", market_at=EVENING, is_adopted=True, split=(1, 3)
    )
    differences.resolve(numbers["cash"], actor="ann", reason="in lieu", market_at=EVENING, is_adopted=True)
    desk.turn(12)
    assert desk.breaks() == {}
    assert events(desk.database) == [("split", 8314, -7, 1, 3)]
    assert desk.book.held_and_working(REF, Mode.SIM, "s1") == {8314: 3}
    assert sum_up(load_history(desk.database, REF)).paid_in == 0


def test_what_the_books_have_moved_on_from_is_not_adopted(desk):
    desk.start()
    hold(desk, 10)
    move(desk, 8314, "17", "200", "200")
    differences = PostgresResolutions(desk.database, REF)
    number = next(found["break_id"] for found in differences.breaks() if found["kind"] == "position")
    fill = replace(desk.broker.fills[0], execution_id="0000e0d5.0000ffff.01.01", client_order_id=None,
                   broker_order_id="5", quantity=D(7))  # fmt: skip
    desk.ledger.executions.save_fills([fill], epoch=desk.seat.epoch)
    with pytest.raises(InputError, match="the books have moved on"):
        differences.resolve(number, actor="ann", reason="adopt", market_at=EVENING, is_adopted=True)
    assert events(desk.database) == []

"""Executions count once: repeated, shuffled, corrected, taken back, or somebody else's."""

from __future__ import annotations

import random
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.account import Fill
from ibkr_assets.domain.ledger import CallOutcome
from ibkr_assets.domain.order import Mode, OrderState, Side
from ibkr_assets.portfolio.positions import count_once, positions_of
from ibkr_assets_tests.execution.desk import ACCOUNT, EVENING, REF, an_intent, approve

AT = datetime(2012, 10, 2, 13, 30, tzinfo=UTC)


def fill(number, quantity=1, price="200", *, revision=1, order="501", coid=None, side=Side.BUY, conid=8314):
    return Fill(
        execution_id=f"0000e0d5.{number:08x}.01.{revision:02d}",
        client_order_id=coid,
        broker_order_id=order,
        conid=conid,
        symbol="IBM",
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(price),
        commission=Decimal("0.35"),
        executed_at=AT,
    )


@pytest.fixture
def ledger(database):
    made = PostgresLedger(database).of_account(REF)
    made.lease.register(ACCOUNT, Mode.SIM)
    made.lease.acquire("test", 20)
    yield made
    made.lease.release()


@pytest.fixture
def acked(database, ledger):
    return ack(database, ledger, an_intent(), "501")


def ack(database, ledger, intent, order_id):
    record = PostgresIntents(database, "salt").propose(
        intent, approve, now=EVENING, dagster_run_id=None, created_by="test"
    )
    call_id, sent = ledger.sends.begin_send(record, epoch=1, request={}, market_at=EVENING)
    return ledger.sends.record_answer(
        sent, call_id, CallOutcome.OK, OrderState.ACKED, epoch=1, http_status=200, answer="", broker_order_id=order_id
    )


def now(ledger, record):
    return ledger.sends.find([record.client_order_id])[record.client_order_id]


def violations(database):
    return [found["id"] for found in check_invariants(database) if found["violations"]]


def test_the_sum_of_executions_fills_the_order(database, ledger, acked):
    coid = acked.client_order_id
    ledger.executions.save_fills([fill(1, 4, "200", coid=coid)], epoch=1)
    assert (str(now(ledger, acked).state), now(ledger, acked).filled) == ("WORKING", 4)
    ledger.executions.save_fills([fill(2, 6, "201", coid=coid)], epoch=1)
    done = now(ledger, acked)
    assert (str(done.state), done.filled, done.average_price) == ("FILLED", 10, Decimal("200.6"))
    assert violations(database) == []


def test_an_execution_without_our_id_is_ours_by_the_brokers_order_id(ledger, acked):
    ledger.executions.save_fills([fill(1, 10)], epoch=1)
    assert str(now(ledger, acked).state) == "FILLED"


def test_a_correction_replaces_what_it_corrects_and_is_noticed(database, ledger, acked):
    coid = acked.client_order_id
    ledger.executions.save_fills([fill(1, 5, "200", coid=coid)], epoch=1)
    saved = ledger.executions.save_fills([fill(1, 4, "199", coid=coid, revision=2)], epoch=1)
    assert (saved.new, saved.revised) == (0, 1)
    assert (now(ledger, acked).filled, now(ledger, acked).average_price) == (4, 199)
    assert [found.kind for found in ledger.differences.open_breaks()] == ["execution_revised"]
    assert violations(database) == []


def test_an_older_revision_that_comes_late_changes_nothing(database, ledger, acked):
    coid = acked.client_order_id
    ledger.executions.save_fills([fill(1, 4, coid=coid, revision=2)], epoch=1)
    ledger.executions.save_fills([fill(1, 5, coid=coid, revision=1)], epoch=1)
    assert now(ledger, acked).filled == 4
    assert violations(database) == []


def test_a_bust_takes_shares_and_cash_back(database, ledger, acked):
    coid = acked.client_order_id
    ledger.account.save_opening(Decimal(1000), [], market_at=AT)
    ledger.executions.save_fills([fill(1, 5, coid=coid)], epoch=1)
    busted = replace(fill(1, 0, coid=coid, revision=2), commission=Decimal(0))
    ledger.executions.save_fills([busted], epoch=1)
    books = ledger.account.books()
    assert (books.cash, books.holdings, now(ledger, acked).filled) == (1000, {}, 0)
    assert violations(database) == []


def test_an_over_fill_is_counted_and_kills_the_account(database, ledger, acked):
    ledger.executions.save_fills([fill(1, 11, coid=acked.client_order_id)], epoch=1)
    done = now(ledger, acked)
    assert (str(done.state), done.filled) == ("FILLED", 11)
    assert "filled 11 of 10" in PostgresIntents(database, "salt").killed_by(REF, "other")
    assert violations(database) == ["I2"]


def test_executions_of_two_broker_orders_under_one_id_kill_the_account(database, ledger, acked):
    coid = acked.client_order_id
    ledger.executions.save_fills([fill(1, 4, coid=coid)], epoch=1)
    ledger.executions.save_fills([fill(2, 4, coid=coid, order="502")], epoch=1)
    assert "more than one broker order" in PostgresIntents(database, "salt").killed_by(REF, "other")
    assert violations(database) == ["I1"]


def test_an_execution_of_an_order_in_doubt_is_the_evidence_that_ends_it(database, ledger):
    record = PostgresIntents(database, "salt").propose(
        an_intent(), approve, now=EVENING, dagster_run_id=None, created_by="test"
    )
    ledger.sends.begin_send(record, epoch=1, request={}, market_at=EVENING)
    ledger.doubts.doubt_in_flight(epoch=1)
    ledger.executions.save_fills([fill(1, 10, coid=record.client_order_id)], epoch=1)
    done = now(ledger, record)
    assert (str(done.state), done.broker_order_id) == ("FILLED", "501")
    assert violations(database) == []


def test_a_fill_that_beats_a_cancel_overturns_it_with_an_alarm(database, ledger, acked):
    cancelled = ledger.sends.move(acked, OrderState.CANCELLED, epoch=1, cause="the list says so")
    ledger.executions.save_fills([fill(1, 10, coid=cancelled.client_order_id)], epoch=1)
    assert str(now(ledger, acked).state) == "FILLED"
    assert [found.kind for found in ledger.differences.open_breaks()] == ["ended_order_filled"]
    assert violations(database) == []


def test_somebody_elses_executions_count_in_the_books_and_are_named(database, ledger):
    ledger.account.save_opening(Decimal(10_000), [], market_at=AT)
    saved = ledger.executions.save_fills([fill(1, 3, coid="theirs"), fill(2, 2)], epoch=1)
    assert saved.foreign_conids == (8314, 8314)
    assert ledger.account.books().holdings[8314].quantity == 5
    assert violations(database) == []


def test_an_execution_under_our_prefix_without_an_intent_blocks_the_account(database, ledger):
    ledger.executions.save_fills([fill(1, 3, coid="q1-" + "a" * 26)], epoch=1)
    (found,) = ledger.differences.open_breaks()
    assert (found.kind, str(found.blocks)) == ("execution_without_intent", "account")
    assert violations(database) == ["I12"]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    legs=st.lists(
        st.tuples(st.integers(1, 9), st.integers(10_000, 30_000), st.booleans(), st.sampled_from([None, None, 0, 3])),
        min_size=1,
        max_size=12,
    ),
    seed=st.integers(0, 2**32),
)
def test_however_executions_come_books_equal_those_of_each_counted_once(database, legs, seed):
    """Against `portfolio.positions`, which shares no code with the ledger's sums; some corrected, some taken back."""
    chance = random.Random(seed)
    account = f"acct-{uuid.uuid4().hex}"
    ledger = PostgresLedger(database).of_account(account)
    ledger.lease.register(account, Mode.SIM)
    ledger.account.save_opening(Decimal(0), [], market_at=AT)
    fills = [
        fill(number, quantity, str(Decimal(price) / 100), side=Side.BUY if is_buy else Side.SELL, conid=1 + number % 3)
        for number, (quantity, price, is_buy, _) in enumerate(legs)
    ]
    fills += [
        replace(first, execution_id=f"{first.execution_id[:-2]}02", quantity=Decimal(corrected))
        for first, (*_, corrected) in zip(fills, legs, strict=True)
        if corrected is not None
    ]
    arriving = fills * chance.randint(1, 4)
    chance.shuffle(arriving)
    while arriving:
        size = chance.randint(1, len(arriving))
        ledger.executions.save_fills(arriving[:size], epoch=1)
        del arriving[:size]
    books = ledger.account.books()
    assert books.cash == sum(f.cash_change for f in count_once(fills))
    expected = {conid: p.quantity for conid, p in positions_of(fills).items() if p.quantity != 0}
    assert {conid: holding.quantity for conid, holding in books.holdings.items()} == expected

"""An order that was sent once, is proven absent and may be sent again: whatever comes between, it did leave."""

from __future__ import annotations

import time

import psycopg
import pytest

from ibkr_assets.adapters.postgres.invariants import INVARIANTS
from ibkr_assets.domain.order import OrderState
from ibkr_assets.execution.kill import remove_kill_file, write_kill_file
from ibkr_assets_tests.execution.desk import EVENING, Desk, an_intent, ticket_of
from ibkr_assets_tests.risk.orders import NEXT_OPEN

S = OrderState


@pytest.fixture
def waiting(desk: Desk):
    """The order, approved for its second sending and held back by the kill file."""
    desk.may_resend = True
    desk.start()
    desk.broker.script.append("dropped")
    record = desk.propose(an_intent())
    desk.turn()
    assert desk.record(record).state is S.UNKNOWN
    write_kill_file(desk.directory, actor="test", reason="wait")
    desk.turn(4)
    waiting = desk.record(record)
    assert (waiting.state, waiting.send_count) == (S.APPROVED, 1)
    return waiting


def test_it_is_sent_again_under_the_same_id(desk, waiting):
    remove_kill_file(desk.directory)
    desk.turn(2)
    now = desk.record(waiting)
    assert (now.state, now.send_count, desk.broker.arrivals(waiting.client_order_id)) == (S.WORKING, 2, 1)


def test_when_its_time_is_over_it_ends_as_not_placed_because_it_did_leave(desk, waiting):
    desk.move_market(NEXT_OPEN)
    desk.turn()
    assert desk.record(waiting).state is S.NOT_PLACED


def test_when_a_last_check_refuses_it_it_ends_as_not_placed(desk, waiting):
    remove_kill_file(desk.directory)
    desk.broker.skew_s = 60.0
    desk.turn(2)
    assert desk.record(waiting).state is S.NOT_PLACED


def test_when_it_arrives_after_all_it_is_adopted_and_not_sent_again(desk, waiting):
    desk.broker.late.append(ticket_of(waiting))
    desk.turn(4, every_s=31)
    now = desk.record(waiting)
    assert (now.state, now.send_count) == (S.WORKING, 1)
    assert desk.breaks() == {"ended_order_alive": "nothing"}


def test_when_it_is_executed_after_all_the_execution_is_booked(desk, waiting):
    desk.broker._accept(ticket_of(waiting))
    desk.broker.fill(waiting.client_order_id, 10, "200")
    assert desk.looks is not None
    desk.looks.look_at_trades()
    now = desk.record(waiting)
    assert (now.state, now.filled) == (S.FILLED, 10)
    assert "filled_without_send" not in desk.breaks()


def test_what_is_absent_when_its_time_is_over_is_not_sent_again(desk):
    desk.may_resend = True
    desk.start()
    desk.broker.script.append("dropped")
    record = desk.propose(an_intent())
    desk.turn()
    assert desk.record(record).state is S.UNKNOWN
    assert EVENING < NEXT_OPEN
    desk.move_market(NEXT_OPEN)
    desk.turn(4)
    assert (desk.record(record).state, desk.record(record).send_count) == (S.NOT_PLACED, 1)


LOOKS = "update oms.absence_observation set "
NEWEST = " where observation_id = (select max(observation_id) from oms.absence_observation)"


@pytest.mark.parametrize(
    "spoil",
    [
        LOOKS + "observed_at = (select min(observed_at) from oms.absence_observation) + interval '40 ms'" + NEWEST,
        LOOKS + "observed_at = observed_at + interval '1 hour'" + NEWEST,
        LOOKS + "is_primed = false" + NEWEST,
        "update oms.order_event set detail = detail - 'settle_s'",
        "update oms.order_event set cause = 'another' where to_state = 'APPROVED'",
    ],
    ids=["too soon after the first", "after the sending", "not whole", "no settle time told", "no evidence"],
)
def test_a_second_sending_without_two_looks_the_settle_time_apart_breaks_an_invariant(desk, spoil):
    desk.settle_s, desk.may_resend = 0.05, True
    desk.start()
    desk.broker.script.append("dropped")
    record = desk.propose(an_intent())
    for _ in range(20):
        desk.turn()
        time.sleep(0.01)
    assert desk.record(record).send_count == 2
    (rule,) = [invariant.query for invariant in INVARIANTS if invariant.id == "I11"]
    with psycopg.connect(desk.database.url) as connection:
        assert connection.execute(rule).fetchall() == []
        for table in ("absence_observation", "order_event"):
            connection.execute(f"alter table oms.{table} disable trigger user")
        connection.execute(spoil)
        assert connection.execute(rule).fetchall() == [(record.client_order_id,)]
        connection.rollback()

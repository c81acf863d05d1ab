"""The start: in-flight orders go into doubt, the truth is looked up, and only then something leaves."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from decimal import Decimal

import pytest

from ibkr_assets.domain.broker import BrokerOrderStatus, StreamNews
from ibkr_assets.domain.errors import ConfigurationError, LedgerConflict, LoginRequired
from ibkr_assets.domain.order import Mode, OrderState
from ibkr_assets.execution.seat import SubmitterOptions
from ibkr_assets.execution.submitter import Submitter
from ibkr_assets_tests.execution.desk import ACCOUNT, REF, an_intent, describe, ticket_of
from ibkr_assets_tests.fakes.stream import FakeStream


def test_the_first_read_of_executions_is_not_used_and_the_list_is_read_until_it_is_whole(desk):
    desk.start()
    assert (desk.broker.order_reads, desk.broker.trade_reads) == (2, 2)
    assert desk.looks.reads.is_primed
    assert desk.looks.reads.is_snapshot


def test_lists_are_never_asked_for_more_often_than_the_pacing_allows(desk):
    times = {"live_orders": [], "trades": []}
    for name, seen in times.items():
        real = getattr(desk.broker, name)
        setattr(desk.broker, name, lambda real=real, seen=seen: (seen.append(desk.time.seconds), real())[1])
    desk.start()
    desk.broker.script.extend(["lost", "dropped"])
    for number in range(4):
        desk.propose(an_intent(number, conid=1000 + number))
    desk.turn(400, every_s=0.1)
    for seen in times.values():
        assert len(seen) > 3
        assert min(b - a for a, b in itertools.pairwise(seen)) >= 5.0


@pytest.mark.parametrize("has_arrived", [True, False])
def test_an_order_that_was_in_flight_is_looked_up_and_never_sent_again(desk, has_arrived):
    desk.start()
    record = desk.propose(an_intent())
    desk.ledger.sends.begin_send(record, epoch=desk.seat.epoch, request={}, market_at=desk.market.now())
    if has_arrived:
        desk.broker.place(ticket_of(record))
    desk.stop()
    desk.start()
    desk.turn(8)
    assert str(desk.record(record).state) == ("WORKING" if has_arrived else "NOT_PLACED")
    assert desk.broker.arrivals(record.client_order_id) == int(has_arrived)
    assert desk.calls_of(record) == [("place", None)]


def test_fills_of_the_time_between_two_processes_are_booked_at_the_start(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.turn(2)
    desk.stop()
    desk.broker.fill(record.client_order_id, 10, "199")
    desk.start()
    assert str(desk.record(record).state) == "FILLED"
    assert desk.ledger.account.books().cash == Decimal(98_009)


def test_an_older_writer_cannot_move_anything_any_more(desk, database):
    from ibkr_assets.adapters.postgres.ledger import PostgresLedger

    desk.start()
    record = desk.propose(an_intent())
    newer = PostgresLedger(database).of_account(REF).lease
    assert newer.acquire("newer", 0) == desk.seat.epoch + 1
    with pytest.raises(LedgerConflict, match="stale writer epoch"):
        desk.turn()
    newer.release()
    assert str(desk.record(record).state) == "APPROVED"
    assert "place" not in desk.broker.calls


def test_every_start_is_a_run_with_what_it_saw(desk, database):
    desk.start()
    desk.stop()
    desk.start()
    with database.connect() as connection:
        rows = connection.execute("select epoch, kind, is_clean from oms.recon_run order by run_id").fetchall()
    assert rows == [(1, "start", True), (2, "start", True)]


# -- the outer loop, in a thread, with real time


class Running:
    """A submitter in a thread of its own."""

    def __init__(self, desk, *, keep_alive_every_s=55.0, **changes):
        self.lines = []
        options = SubmitterOptions(
            keep_alive_every_s=keep_alive_every_s,
            max_order_value_usd=Decimal(10_000),
            price_collar_fraction=Decimal("0.03"),
            kill_file=desk.kill_file,
            settle_s=0.0,
            poll_interval_s=0.01,
            list_every_s=0.01,
        )
        values = {
            "account": ACCOUNT, "mode": desk.mode, "broker": desk.broker, "ledger": desk.ledger,
            "clock": desk.market, "options": options, "describe": describe, "say": self.lines.append,
        }  # fmt: skip
        self.submitter = Submitter(**{**values, **changes})
        self.stop = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            self.submitter.run(self.stop)
        except ConfigurationError as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(20)
        assert not self.thread.is_alive()

    def wait(self, condition, limit_s=20.0):
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def heartbeat(database):
    with database.connect() as connection:
        return connection.execute("select status, detail from oms.heartbeat").fetchone()


def test_a_submitter_says_when_it_is_ready_sends_and_stops_when_asked(desk, database):
    with Running(desk) as running:
        running.wait(lambda: running.lines)
        record = desk.propose(an_intent())
        running.wait(lambda: str(desk.record(record).state) in ("ACKED", "WORKING"))
        running.wait(lambda: heartbeat(database) == ("working", "keep-alive 0 s ago"))
    assert running.lines == [f"ready submitter {REF} epoch=1"]
    assert heartbeat(database)[0] == "stopped"


def test_a_gateway_that_is_away_is_waited_for_and_everything_starts_over(desk, database, caplog):
    desk.broker.is_down = True
    with caplog.at_level(logging.WARNING), Running(desk) as running:
        record = desk.propose(an_intent())
        running.wait(lambda: heartbeat(database) is not None and heartbeat(database)[0] == "away")
        assert str(desk.record(record).state) == "APPROVED"
        desk.broker.is_down = False
        running.wait(lambda: str(desk.record(record).state) in ("ACKED", "WORKING"))
        running.wait(lambda: heartbeat(database)[0] == "working")
        desk.broker.is_down = True
        running.wait(lambda: heartbeat(database)[0] == "away")
        desk.broker.is_down = False
        running.wait(lambda: len(running.lines) == 2)
    assert "nothing is sent; trying again" in caplog.text


def test_a_login_that_is_over_is_said_to_a_person(desk, database, caplog):
    def refuse():
        raise LoginRequired("log in to the gateway in a browser")

    desk.broker.open_session = refuse
    with caplog.at_level(logging.ERROR), Running(desk) as running:
        running.wait(lambda: heartbeat(database) is not None)
        running.wait(lambda: heartbeat(database)[0] == "login required")
    assert "a person is needed: log in" in caplog.text


def test_a_new_session_of_the_gateway_is_a_full_start(desk):
    desk.broker.gateway_session = "session-1"
    with Running(desk, keep_alive_every_s=0.05) as running:
        running.wait(lambda: running.lines)
        desk.broker.gateway_session = "session-2"
        running.wait(lambda: len(running.lines) == 2)
    assert running.lines[1].endswith("epoch=2")


def test_an_account_that_the_gateway_does_not_have_is_a_wrong_setting(desk):
    def refuse():
        raise ConfigurationError("account: not among the gateway's")

    desk.broker.open_session = refuse
    with Running(desk) as running:
        running.thread.join(20)
    assert running.error is not None


def test_two_submitters_of_one_account_do_not_work_at_once(desk, database):
    from ibkr_assets.adapters.postgres.ledger import PostgresLedger

    with Running(desk) as first:
        first.wait(lambda: first.lines)
        other = PostgresLedger(database).of_account(REF)
        with Running(desk, ledger=other) as second:
            time.sleep(0.5)
            assert second.lines == []
            first.stop.set()
            second.wait(lambda: second.lines)
    assert second.lines == [f"ready submitter {REF} epoch=2"]


def test_an_order_of_mode_dry_run_is_rehearsed_on_a_platform_of_mode_dry_run(database, tmp_path):
    from ibkr_assets_tests.execution.desk import Desk

    desk = Desk(database, tmp_path, mode=Mode.DRY_RUN).start()
    record = desk.propose(an_intent(mode=Mode.DRY_RUN))
    real = desk.propose(an_intent(2, mode=Mode.SIM))
    desk.turn(2)
    assert desk.record(record).state is OrderState.NOT_PLACED
    assert desk.record(real).state is OrderState.APPROVED
    assert desk.record(real).reason == "its mode is sim, the platform's dry_run"
    assert "place" not in desk.broker.calls
    desk.stop()


def test_hints_of_the_stream_are_read_at_the_next_turn(desk):
    desk.start()
    record = desk.propose(an_intent())
    other = desk.propose(an_intent(2))
    desk.turn(4)
    desk.broker.fill(record.client_order_id, 10, "200.00")
    desk.broker.calls.clear()
    desk.watch.hear(StreamNews(is_up=True, has_fills=True))
    desk.turn(every_s=0.0)
    assert desk.record(record).state is OrderState.FILLED
    assert desk.broker.calls.count("trades") == 1
    desk.broker.set_status(other.client_order_id, BrokerOrderStatus.CANCELLED)
    desk.time.pass_time(0.01)
    desk.watch.hear(StreamNews(is_up=True, changed_orders=frozenset({desk.record(other).broker_order_id})))
    desk.turn(every_s=0.0)
    assert desk.record(other).state is OrderState.CANCELLED
    desk.stop()


def test_a_gap_of_the_stream_is_followed_by_both_lists_as_soon_as_they_may_be_read(desk):
    desk.start()
    for _ in range(2):  # the first one is read at once, and so the second one has to wait
        desk.broker.calls.clear()
        desk.watch.hear(StreamNews(is_up=True, has_gap=True))
        desk.turn(every_s=0.0)
    assert "live_orders" not in desk.broker.calls
    desk.turn(every_s=5.2)
    assert {"live_orders", "trades"} <= set(desk.broker.calls)
    desk.broker.calls.clear()
    desk.turn(every_s=5.2)
    assert {"live_orders", "trades"}.isdisjoint(desk.broker.calls)
    desk.stop()


def test_a_hint_is_no_evidence(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.turn(2)
    state = desk.record(record).state
    desk.watch.hear(StreamNews(is_up=True, has_fills=True, changed_orders=frozenset({"1", "987654"})))
    desk.turn(every_s=6.0)
    assert desk.record(record).state is state
    assert desk.record(record).filled == 0
    desk.stop()


def test_a_stream_that_breaks_makes_the_session_be_looked_at_at_once(desk, database):
    stream = FakeStream()
    with Running(desk, stream=stream) as running:
        running.wait(lambda: running.lines)
        stream.say(StreamNews(is_up=True, has_gap=True))
        running.wait(lambda: heartbeat(database)[1].endswith("order stream up"))
        desk.broker.is_down = True
        began = time.monotonic()
        stream.say(StreamNews(is_troubled=True))
        running.wait(lambda: heartbeat(database)[0] == "away")
        assert time.monotonic() - began < 10  # without it, the next keep-alive is up to a minute away
        desk.broker.is_down = False
        running.wait(lambda: len(running.lines) == 2)
        assert stream.is_running
    assert not stream.is_running


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_keep_alive_that_stays_away_shows_in_the_heartbeat(desk, database):
    answers = desk.broker.keep_alive

    def die():
        raise RuntimeError("a bug nobody foresaw")

    desk.broker.keep_alive = die
    with Running(desk, keep_alive_every_s=0.05) as running:
        running.wait(lambda: heartbeat(database) is not None and heartbeat(database)[0] == "keep-alive dead")
        assert "its thread started again" in heartbeat(database)[1]
        desk.broker.keep_alive = answers
        running.wait(lambda: heartbeat(database)[0] == "working")
    assert len(running.lines) == 1

"""What the database refuses in the order ledger, whoever asks."""

from __future__ import annotations

import itertools
from datetime import timedelta

import psycopg
import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.errors import InputError, LedgerConflict
from ibkr_assets.domain.ledger import CallOutcome
from ibkr_assets.domain.order import TRANSITIONS, Mode, OrderState
from ibkr_assets_tests.execution.desk import ACCOUNT, EVENING, REF, an_intent, approve
from ibkr_assets_tests.risk.orders import NEXT_OPEN

EVERY_MOVE = list(itertools.product(OrderState, OrderState))


@pytest.fixture
def ledger(database):
    """The ledger of a registered account in mode sim, its lease taken with epoch 1."""
    made = PostgresLedger(database).of_account(REF)
    made.lease.register(ACCOUNT, Mode.SIM)
    assert made.lease.acquire("test", 20) == 1
    yield made
    made.lease.release()


@pytest.fixture
def approved(database, ledger):
    book = PostgresIntents(database, "salt")
    return book.propose(an_intent(), approve, now=EVENING, dagster_run_id=None, created_by="test")


def run(database, statement, *values):
    with transaction(database) as cursor:
        cursor.execute(statement, values)


def test_the_states_of_the_database_are_those_of_the_code(database):
    with database.connect() as connection:
        rows = connection.execute("select name, is_terminal, holds_risk from oms.state").fetchall()
    assert {name: (terminal, risk) for name, terminal, risk in rows} == {
        state.value: (state.is_terminal, state.holds_risk) for state in OrderState
    }


def test_the_transitions_of_the_database_are_those_of_the_code(database):
    with database.connect() as connection:
        rows = connection.execute("select from_state, to_state from oms.transition").fetchall()
    assert set(rows) == {(a.value, b.value) for a, targets in TRANSITIONS.items() for b in targets}


def test_every_move_that_is_not_in_the_table_is_refused_by_the_database(database, ledger):
    """All 256 pairs, each from an order that truly stands in the first state: forced there past the guard."""
    book = PostgresIntents(database, "salt")
    for state in OrderState:
        book.propose(an_intent(strategy_id=state), approve, now=EVENING, dagster_run_id=None, created_by="test")
    with database.connect() as connection:
        connection.execute("alter table oms.order_intent disable trigger user")
        connection.execute("drop index oms.one_in_flight")
        connection.execute(
            "update oms.order_intent set state = strategy_id, epoch = 1, "
            "filled = case when strategy_id = 'FILLED' then quantity else 0 end, "
            "unknown_since = case when strategy_id = 'UNKNOWN' then now() end"
        )
        connection.execute("alter table oms.order_intent enable trigger user")
    refused = 0
    for source, target in EVERY_MOVE:
        if target in TRANSITIONS[source] or source is target:
            continue
        with pytest.raises(LedgerConflict, match=r"illegal transition|has not left yet"):
            run(
                database,
                "update oms.order_intent set state = %s, version = version + 1, epoch = 1 where strategy_id = %s",
                target,
                source,
            )
        refused += 1
    assert refused == len(EVERY_MOVE) - len(OrderState) - sum(len(targets) for targets in TRANSITIONS.values())


ECONOMIC = {
    "quantity": 11, "limit_price": 1, "side": "SELL", "conid": 1, "symbol": "FB", "mode": "paper",
    "valid_until": NEXT_OPEN + timedelta(days=1), "time_in_force": "DAY", "decision_key": "other",
    "client_order_id": "q1-" + "a" * 26, "created_by": "other", "strategy_id": "other",
}  # fmt: skip


def test_what_an_order_is_cannot_be_changed(database, approved):
    for column, value in ECONOMIC.items():
        with pytest.raises(LedgerConflict, match="immutable"):
            run(database, f"update oms.order_intent set {column} = %s, version = version + 1", value)


def test_an_order_cannot_be_deleted_or_emptied_away(database, approved):
    for statement in ("delete from oms.order_intent", "truncate oms.order_intent cascade"):
        with pytest.raises(LedgerConflict, match="append-only"):
            run(database, statement)


def test_what_happened_cannot_be_rewritten(database, approved):
    for table in ("order_event", "risk_decision", "transition", "state"):
        with pytest.raises(LedgerConflict, match="append-only"):
            run(database, f"delete from oms.{table}")


def test_control_rows_stay_and_unknown_scopes_are_refused(database):
    whole = PostgresLedger(database)
    whole.control("kill", scope="global", actor="somebody", reason="stop")
    with pytest.raises(LedgerConflict, match="append-only"):
        run(database, "update oms.control set reason = 'never mind'")
    for scope, reason in (("everything", "x"), ("conid:abc", "x"), ("global", "")):
        with pytest.raises(InputError, match="scope"):
            whole.control("kill", scope=scope, actor="somebody", reason=reason)


def test_a_version_steps_by_one(database, approved):
    with pytest.raises(LedgerConflict, match="version"):
        run(database, "update oms.order_intent set reason = 'x', version = version + 2, epoch = 1")


def test_an_intent_is_born_proposed(database, approved):
    with pytest.raises(LedgerConflict, match="born PROPOSED"):
        run(
            database,
            "insert into oms.order_intent select (jsonb_populate_record(i, jsonb_build_object('intent_id', "
            "gen_random_uuid(), 'decision_key', 'k', 'client_order_id', 'q1-' || repeat('a', 26)))).* "
            "from oms.order_intent i",
        )


def test_nothing_is_submitting_without_a_committed_call(database, approved):
    with pytest.raises(LedgerConflict, match="no open wire call"):
        run(
            database,
            "update oms.order_intent set state = 'SUBMITTING', version = version + 1, epoch = 1, send_count = 1",
        )


def test_nothing_is_submitting_at_or_after_its_validity(ledger, approved):
    with pytest.raises(LedgerConflict, match="was valid until"):
        ledger.sends.begin_send(approved, epoch=1, request={}, market_at=NEXT_OPEN)


def test_nothing_is_submitting_under_an_older_epoch(ledger, approved):
    with pytest.raises(LedgerConflict, match="stale writer epoch"):
        ledger.sends.begin_send(approved, epoch=0, request={}, market_at=EVENING)


def test_nothing_is_submitting_while_killed(database, ledger, approved):
    PostgresLedger(database).control("kill", scope="conid:8314", actor="somebody", reason="stop")
    with pytest.raises(LedgerConflict, match="withdrawn by kill of conid:8314 by somebody: stop"):
        ledger.sends.begin_send(approved, epoch=1, request={}, market_at=EVENING)


def test_an_order_of_another_mode_than_the_accounts_is_not_submitted(database, ledger):
    book = PostgresIntents(database, "salt")
    record = book.propose(an_intent(mode=Mode.PAPER), approve, now=EVENING, dagster_run_id=None, created_by="test")
    with pytest.raises(LedgerConflict, match="intent of mode paper"):
        ledger.sends.begin_send(record, epoch=1, request={}, market_at=EVENING)


def test_only_one_order_of_an_account_is_in_flight(database, ledger, approved):
    book = PostgresIntents(database, "salt")
    second = book.propose(an_intent(2), approve, now=EVENING, dagster_run_id=None, created_by="test")
    ledger.sends.begin_send(approved, epoch=1, request={}, market_at=EVENING)
    with pytest.raises(LedgerConflict, match="one_in_flight"):
        ledger.sends.begin_send(second, epoch=1, request={}, market_at=EVENING)


def test_doubt_is_not_left_without_evidence(ledger, approved):
    ledger.sends.begin_send(approved, epoch=1, request={}, market_at=EVENING)
    (doubted,) = ledger.doubts.doubt_in_flight(epoch=1)
    for target in ("NOT_PLACED", "REJECTED", "APPROVED"):
        with pytest.raises(LedgerConflict, match="without evidence"):
            ledger.sends.move(doubted, OrderState(target), epoch=1, cause="a timer")


def test_doubt_is_not_left_for_the_market_without_the_brokers_id(ledger, approved):
    ledger.sends.begin_send(approved, epoch=1, request={}, market_at=EVENING)
    (doubted,) = ledger.doubts.doubt_in_flight(epoch=1)
    with pytest.raises(LedgerConflict, match="without a broker order id"):
        ledger.sends.move(doubted, OrderState.WORKING, epoch=1, cause="hope")


def test_a_broker_order_id_is_not_exchanged(database, ledger, approved):
    call_id, sent = ledger.sends.begin_send(approved, epoch=1, request={}, market_at=EVENING)
    ledger.sends.record_answer(
        sent, call_id, CallOutcome.OK, OrderState.ACKED, epoch=1, http_status=200, answer="", broker_order_id="7"
    )
    with pytest.raises(LedgerConflict, match="is broker order 7 already"):
        run(database, "update oms.order_intent set broker_order_id = '8', version = version + 1, epoch = 1")


def test_an_account_keeps_its_mode_for_life_and_a_database_too(database, ledger):
    with pytest.raises(LedgerConflict, match="for life"):
        ledger.lease.register(ACCOUNT, Mode.PAPER)
    with pytest.raises(LedgerConflict, match="another mode"):
        PostgresLedger(database).of_account("acct-other").lease.register("U2", Mode.LIVE)


def test_live_orders_need_an_armed_account_and_a_true_clock(database):
    from datetime import UTC, datetime

    ledger = PostgresLedger(database).of_account(REF)
    ledger.lease.register(ACCOUNT, Mode.LIVE)
    ledger.lease.acquire("test", 20)
    now = datetime.now(UTC)
    record = PostgresIntents(database, "salt").propose(
        an_intent(mode=Mode.LIVE, valid_until=now + timedelta(hours=1)),
        approve, now=now, dagster_run_id=None, created_by="test",
    )  # fmt: skip
    with pytest.raises(LedgerConflict, match="is not the time"):
        ledger.sends.begin_send(record, epoch=1, request={}, market_at=EVENING)
    with pytest.raises(LedgerConflict, match="not armed"):
        ledger.sends.begin_send(record, epoch=1, request={}, market_at=now)
    run(
        database,
        "insert into oms.control (scope, action, actor, reason, expires_at) "
        "values (%s, 'arm', 'somebody', 'ready', now() + interval '1 hour')",
        f"account:{REF}",
    )
    ledger.sends.begin_send(record, epoch=1, request={}, market_at=datetime.now(UTC))
    ledger.lease.release()


def test_the_app_role_proposes_and_can_send_nothing(database_url_of, database, ledger):
    app = Database(database_url_of("ibkr_app"))
    record = PostgresIntents(app, "salt").propose(
        an_intent(), approve, now=EVENING, dagster_run_id=None, created_by="app"
    )
    assert str(record.state) == "APPROVED"
    assert PostgresIntents(app, "salt").intents() != []
    of_app = PostgresLedger(app).of_account(REF)
    with pytest.raises(LedgerConflict, match="permission denied"):
        of_app.sends.begin_send(record, epoch=1, request={}, market_at=EVENING)
    with pytest.raises(LedgerConflict, match=r"only the submitter|permission denied"):
        run(app, "update oms.order_intent set state = 'SUBMITTING', version = version + 1")
    with pytest.raises(LedgerConflict, match="permission denied"):
        run(app, "select broker_account from oms.account")
    app.close()


def test_the_submitter_role_can_do_all_a_submitter_does(database_url_of, database, tmp_path):
    from ibkr_assets_tests.execution.desk import Desk

    opened = Database(database_url_of("ibkr_submitter"))
    PostgresIntents(database, "salt").propose(an_intent(), approve, now=EVENING, dagster_run_id=None, created_by="test")
    desk = Desk(opened, tmp_path).start()
    desk.turn(2)
    (record,) = desk.book.intents()
    desk.broker.fill(record.client_order_id, 10, "200")
    desk.turn(3)
    assert desk.states() == ["FILLED"]
    desk.stop()
    opened.close()


def test_the_hash_chain_shows_a_changed_event(database, approved):
    with database.connect() as connection:
        connection.execute("alter table oms.order_event disable trigger user")
        connection.execute("update oms.order_event set cause = 'another' where seq = 1")
        connection.execute("alter table oms.order_event enable trigger user")
    assert [found["id"] for found in check_invariants(database) if found["violations"]] == ["I10"]


def test_a_second_writer_waits_while_the_first_lives_and_takes_over_when_it_is_gone(database, ledger):
    second = PostgresLedger(database).of_account(REF).lease
    assert second.acquire("second", 20) is None
    assert second.acquire("second", 0) == 2, "the first one did not renew in time"
    with pytest.raises(LedgerConflict, match="another writer"):
        ledger.lease.renew(1)
    ledger.lease.release()
    second.release()
    third = PostgresLedger(database).of_account(REF).lease
    assert third.acquire("third", 20) == 3, "the sessions of both are gone, so nobody is waited for"
    third.release()


def test_a_lost_session_ends_the_wait_with_a_clear_error(ledger, database):
    from ibkr_assets.domain.errors import Unavailable

    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
            "and datname = current_database() and query ilike '%advisory_lock%'"
        )
    with pytest.raises(Unavailable, match="went away"):
        ledger.lease.wait(1.0)

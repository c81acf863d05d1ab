"""Every invariant finds what breaks it, planted past the guards, and nothing else is accused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from ibkr_assets.adapters.postgres.connection import Connection, Database
from ibkr_assets.adapters.postgres.invariants import INVARIANTS, check_invariants
from ibkr_assets_tests.execution.desk import Desk, an_intent

TABLES = (
    "order_intent", "execution", "wire_call", "reservation", "risk_decision", "order_event", "control",
)  # fmt: skip

#: One order is filled, one is cancelled after a part of it, one waits. Which rows are changed, and who must notice.
PLANTED: dict[str, tuple[str, set[str]]] = {
    "an execution of a second broker order": (
        (
            'insert into oms.execution select (jsonb_populate_record(e, \'{"execution_root": "x", '
            '"execution_id": "x.01", "broker_order_id": "999", "quantity": 0}\')).* from oms.execution e '
            "where intent_id = {filled}"
        ),
        {"I1"},
    ),
    "more executed than was ordered": (
        "update oms.execution set quantity = quantity + 1 where intent_id = {filled}",
        {"I2", "I3"},
    ),
    "a filled quantity that nobody executed": (
        "update oms.order_intent set filled = filled + 1 where intent_id = {cancelled}",
        {"I3"},
    ),
    "full and not FILLED": (
        "update oms.order_intent set filled = quantity where intent_id = {cancelled}",
        {"I3", "I4"},
    ),
    "an order past APPROVED without a call": ("delete from oms.wire_call where intent_id = {filled}", {"I5", "I11"}),
    "a call of an order that never left": (
        "update oms.order_intent set state = 'EXPIRED_UNSENT' where intent_id = {filled}",
        {"I4", "I5", "I9"},
    ),
    "a reservation given back too early": (
        "update oms.reservation set released_at = now() where intent_id = {waiting}",
        {"I6"},
    ),
    "a reservation that is never given back": (
        "update oms.reservation set released_at = null where intent_id = {filled}",
        {"I6"},
    ),
    "a reservation of another size": ("update oms.reservation set quantity = 1 where intent_id = {waiting}", {"I7"}),
    "an approval without a decision": ("delete from oms.risk_decision where intent_id = {waiting}", {"I7"}),
    "a call after the order's validity": (
        "update oms.wire_call set market_at = '2099-01-01' where intent_id = {filled}",
        {"I8"},
    ),
    "a call while permission was withdrawn": (
        (
            "insert into oms.control (scope, action, actor, session, reason, at) select 'global', 'kill', 'p', 'p', "
            "'p', sent_at - interval '1 s' from oms.wire_call where intent_id = {filled} and kind = 'place'"
        ),
        {"I8"},
    ),
    "a state that no event led to": (
        "update oms.order_intent set state = 'DENIED' where intent_id = {waiting}",
        {"I6", "I9"},
    ),
    "a step that is missing": (
        "delete from oms.order_event where intent_id = {filled} and to_state = 'ACKED'",
        {"I9", "I10"},
    ),
    "an event that was rewritten": (
        "update oms.order_event set cause = 'another' where intent_id = {filled} and to_state = 'ACKED'",
        {"I10"},
    ),
    "a call that was not counted": ("update oms.order_intent set send_count = 0 where intent_id = {filled}", {"I11"}),
    "a second call without two looks": (
        (
            "insert into oms.wire_call (intent_id, kind, send_number, epoch, request, request_sha256, market_at, "
            "sent_at, outcome, done_at) select intent_id, kind, 2, epoch, request, request_sha256, market_at, sent_at, "
            "outcome, done_at from oms.wire_call where intent_id = {filled} and kind = 'place'; "
            "update oms.order_intent set send_count = 2 where intent_id = {filled}"
        ),
        {"I11"},
    ),
    "an execution under our prefix that nobody wished": (
        (
            'insert into oms.execution select (jsonb_populate_record(e, \'{"execution_root": "x", '
            '"execution_id": "x.01", "client_order_id": "q1-x", "intent_id": null}\')).* from oms.execution e '
            "where intent_id = {filled}"
        ),
        {"I12"},
    ),
    "a live send that nobody armed": ("update oms.order_intent set mode = 'live' where intent_id = {filled}", {"I13"}),
    "a rehearsal that left": ("update oms.order_intent set mode = 'dry_run' where intent_id = {filled}", {"I14"}),
    "an order of the assets without plan and signal": (
        "update oms.order_intent set created_by = 'dagster:trading_strategy' where intent_id = {waiting}",
        {"I15"},
    ),
}


@pytest.fixture
def ids(database: Database, tmp_path) -> dict[str, str]:
    """A filled order, one cancelled after a part, one approved: the ledger as a submitter leaves it."""
    desk = Desk(database, tmp_path).start()
    filled, cancelled = (desk.propose(an_intent(number)) for number in (1, 2))
    desk.turn(2)
    desk.broker.fill(filled.client_order_id, 10, "200")
    desk.broker.fill(cancelled.client_order_id, 4, "200")
    desk.turn(3)
    desk.broker.cancel(desk.record(cancelled).broker_order_id or "")
    desk.turn(3)
    waiting = desk.propose(an_intent(3))
    desk.stop()
    assert desk.states() == ["FILLED", "CANCELLED", "APPROVED"]
    return {"filled": filled.intent_id, "cancelled": cancelled.intent_id, "waiting": waiting.intent_id}


def broken(database: Database) -> dict[str, list[str]]:
    """Ids of the invariants that do not hold, with the rows that are named."""
    return {found["id"]: found["examples"] for found in check_invariants(database) if found["violations"]}


class Within:
    """A database whose every transaction is the one that is open already."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextlib.contextmanager
    def connect(self) -> Iterator[Connection]:
        yield self._connection


def planted(database: Database, statements: str, ids: dict[str, str]) -> set[str]:
    """What is found once rows are changed as by somebody who owns the tables and switches their guards off; undone."""
    for name, intent_id in ids.items():
        statements = statements.replace("{" + name + "}", f"'{intent_id}'")
    found: set[str] = set()
    with database.connect() as connection, connection.transaction():
        for table in TABLES:
            connection.execute(f"alter table oms.{table} disable trigger user")
        for statement in statements.split("; "):
            assert connection.execute(statement).rowcount > 0, statement
        found = set(broken(Within(connection)))  # type: ignore[arg-type]
        raise psycopg.Rollback
    return found


def test_each_planted_contradiction_is_found_by_its_invariants_and_no_other(database: Database, ids) -> None:
    assert broken(database) == {}
    assert {what: planted(database, statements, ids) for what, (statements, _) in PLANTED.items()} == {
        what: expected for what, (_, expected) in PLANTED.items()
    }
    assert {name for _, names in PLANTED.values() for name in names} == {invariant.id for invariant in INVARIANTS}
    assert broken(database) == {}, "undone"

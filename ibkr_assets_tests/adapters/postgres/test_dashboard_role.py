"""What the dashboard's role may not do, however it is asked: as SQL, past every page."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

_CONTROL = "insert into oms.control (scope, action, actor, reason, expires_at) values ('global', '{}', 'x', 'x', {})"
FORBIDDEN = {
    "a fill": "insert into oms.execution (execution_id) values ('x')",
    "a call to the broker": "insert into oms.wire_call (intent_id, kind, send_number, epoch, request, request_sha256, "
    "market_at) values (gen_random_uuid(), 'place', 1, 1, '{}', 'x', now())",
    "an answer of the broker": "update oms.wire_call set outcome = 'ok'",
    "an order on its way": "update oms.order_intent set state = 'SUBMITTING', version = version + 1, epoch = 1",
    "an order sent twice": "update oms.order_intent set send_count = 0",
    "another quantity": "update oms.order_intent set quantity = 1000000",
    "another account of the broker": "update oms.account set broker_account = 'U1'",
    "the account's number": "select broker_account from oms.account",
    "another mode": "update oms.account set mode = 'live'",
    "an order's disappearance": "delete from oms.order_intent",
    "another history": "update oms.order_event set cause = 'x'",
    "an empty history": "truncate oms.order_event",
    "an event": "insert into oms.order_event (seq, intent_id, to_state, version, cause, detail, at, sha256) "
    "values (1, gen_random_uuid(), 'FILLED', 1, 'x', '{}', now(), 'x')",
    "a reservation's end": "update oms.reservation set released_at = now()",
    "another decision": "update oms.risk_decision set is_approved = true",
    "the writer's seat": "update oms.writer_lease set epoch = 99, holder = 'x'",
    "the submitter's heartbeat": "update oms.heartbeat set at = now()",
    "other limits": "insert into oms.limits_change (mode, sha256, actor, origin) values ('sim', 'x', 'x', 'x')",
    "money": "insert into oms.cash_event (account_ref, kind, amount_usd, detail, market_at) "
    "values ('x', 'deposit', 1, 'x', now())",
    "shares": "insert into oms.position_event (account_ref, kind, conid, quantity) values ('x', 'adjustment', 1, 1)",
    "another value of the account": "update oms.account_snapshot set nav_platform_usd = 1",
    "evidence": "insert into oms.absence_observation (intent_id, gateway_session, is_ready, is_snapshot, is_primed, "
    "is_position_unchanged, orders_seen, trades_seen) values (gen_random_uuid(), 'x', true, true, true, true, 0, 0)",
    "another table of transitions": "insert into oms.transition (from_state, to_state) values ('DENIED', 'WORKING')",
    "a difference's end": "update oms.recon_break set resolved_at = now(), resolved_by = 'x'",
    "a bar": "update md.bar set close = 1",
    "no bars": "delete from md.bar",
    "a feature": "update research.feature set values = '{}'",
    "a signal": "insert into research.signal (strategy_id) values ('x')",
    "another strategy in place": "update research.strategy set kind = 'x'",
    "permission's record": "delete from oms.control",
    "an act that never was": "delete from dash.act",
    "an act by somebody else": "update dash.act set actor = 'x'",
    "permission to trade": _CONTROL.format("arm", "now() + interval '1 hour'"),
    "every position closed": _CONTROL.format("kill_flatten", "null"),
    "no guard": "alter table oms.order_intent disable trigger all",
    "a guard's replacement": "create or replace function oms.check_evidence(old oms.order_intent, new "
    "oms.order_intent) returns void language sql as 'select'",
    "a table of its own": "create table oms.mine (n int)",
    "a schema of its own": "create schema mine",
    "another role": "set role ibkr_submitter",
    "a new role": "create role mine superuser",
    "more rights": "alter role ibkr_dashboard superuser",
    "a file of the server": "select pg_read_file('/etc/passwd')",
    "a program of the server": "copy (select 1) to program 'true'",
}
_DENIED = (errors.InsufficientPrivilege, errors.RaiseException)


@pytest.fixture(scope="module")
def connection(postgres_server, _template) -> Iterator[psycopg.Connection]:
    from ibkr_assets_tests.databases import fresh_database

    with (
        fresh_database(postgres_server, _template) as name,
        psycopg.connect(postgres_server.url(name, "ibkr_dashboard"), autocommit=True) as opened,
    ):
        yield opened


@pytest.mark.parametrize("what", FORBIDDEN)
def test_it_is_denied(connection: psycopg.Connection, what: str) -> None:
    with pytest.raises(_DENIED):
        connection.execute(FORBIDDEN[what])


def test_it_reads_what_pages_show_and_withdraws_permission(connection: psycopg.Connection) -> None:
    assert connection.execute("select count(*) from oms.order_intent").fetchone() == (0,)
    assert connection.execute("select mode from oms.account").fetchall() == []
    connection.execute(_CONTROL.format("kill", "null"))
    connection.execute(_CONTROL.format("resume", "null"))


def test_in_live_it_gives_no_permission_back(database_url_of) -> None:
    with psycopg.connect(database_url_of("ibkr_platform")) as owner:
        owner.execute("insert into oms.account (account_ref, mode) values ('acct-x', 'live')")
        owner.execute("alter table oms.control disable trigger guard")  # the one that asks for a clean comparison
    with psycopg.connect(database_url_of("ibkr_dashboard")) as connection:
        connection.execute(_CONTROL.format("kill", "null"))
        with pytest.raises(errors.RaiseException, match="resume is not given from the dashboard"):
            connection.execute(_CONTROL.format("resume", "null"))


def test_a_table_that_is_added_later_can_be_read(database_url_of) -> None:
    with psycopg.connect(database_url_of("ibkr_platform")) as owner:
        owner.execute("create table research.later (n int)")
    with psycopg.connect(database_url_of("ibkr_dashboard")) as connection:
        assert connection.execute("select n from research.later").fetchall() == []
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("insert into research.later values (1)")

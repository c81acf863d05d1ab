"""Limits by content, changes as they were seen, and decisions with all that they were made on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal

import psycopg
import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.limits import KeptLimits, PostgresLimits
from ibkr_assets.adapters.postgres.past_decisions import load_decisions
from ibkr_assets.domain.order import Mode, OrderState
from ibkr_assets.risk.changes import limits_in_force
from ibkr_assets.risk.engine import Approved, Denied, hear
from ibkr_assets.risk.rules import RULES, DenialCode
from ibkr_assets.risk.stored import digest
from ibkr_assets.risk.what_if import Answer, parse_changes, review_again
from ibkr_assets_tests.execution.desk import EVENING, an_intent, approve
from ibkr_assets_tests.risk.orders import LIMITS, facts, limits

TIGHT, LOOSE = LIMITS, limits(max_order_value_usd=Decimal(50_000))


def note(database: Database, held_to, mode=Mode.LIVE):
    return PostgresLimits(database).note(held_to, mode=mode, actor="somebody", origin="a file")


def test_a_change_is_a_row_and_the_same_limits_again_are_none(database) -> None:
    for held_to in (TIGHT, TIGHT, LOOSE, LOOSE, TIGHT):
        noted = note(database, held_to)
    assert [change.sha256 for change in noted.history] == [digest(TIGHT), digest(LOOSE), digest(TIGHT)]
    assert [change.limits for change in noted.history] == [TIGHT, LOOSE, TIGHT]
    assert {(c.actor, c.origin, c.mode) for c in noted.history} == {("somebody", "a file", Mode.LIVE)}
    with database.connect() as connection:
        assert connection.execute("select count(*) from oms.limits_version").fetchone() == (2,)


def test_each_mode_has_a_history_of_its_own(database) -> None:
    note(database, LOOSE, Mode.SIM)
    assert [change.limits for change in note(database, TIGHT).history] == [TIGHT]
    assert len(PostgresLimits(database).read(None).history) == 2


def test_limits_noted_from_many_places_at_once_are_one_change(database) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: note(database, TIGHT), range(16)))
    assert len(PostgresLimits(database).read(Mode.LIVE).history) == 1


def test_a_raised_limit_of_a_live_account_waits_by_the_clock_of_the_database(database) -> None:
    note(database, TIGHT)
    noted = note(database, LOOSE)
    assert limits_in_force(noted.history, LOOSE, Mode.LIVE, noted.at) == TIGHT
    assert limits_in_force(noted.history, LOOSE, Mode.LIVE, noted.at + timedelta(days=2)) == LOOSE


def test_what_was_noted_is_never_changed_and_the_assets_role_may_note(database, database_url_of) -> None:
    app = Database(database_url_of("ibkr_app"))
    note(app, TIGHT)
    for statement in ("update oms.limits_change set actor = 'me'", "delete from oms.limits_version"):
        with pytest.raises(psycopg.Error), database.connect() as connection:
            connection.execute(statement)
    with pytest.raises(psycopg.Error), app.connect() as connection:
        connection.execute("insert into oms.limits_change (mode, sha256, actor, origin, at) "
                           "select mode, sha256, actor, origin, '2000-01-01' from oms.limits_change")  # fmt: skip
    app.close()


def propose(book, number, quantity):
    def judge(intent, exposure):
        seen = facts(now=EVENING)
        findings = hear([RULES[DenialCode.ORDER_VALUE]], intent, seen, exposure, TIGHT)
        if findings[0].is_passed:
            return Approved(intent, findings, seen, TIGHT)
        return Denied(intent, findings[0].code, findings[0].text, findings, seen, TIGHT)

    order = an_intent(number, quantity=Decimal(quantity))
    return book.propose(order, judge, now=EVENING, dagster_run_id=None, created_by="test")


def test_a_decision_refers_to_its_limits_and_can_be_reviewed_again(database) -> None:
    book = PostgresIntents(database, "salt")
    small, large, denied = propose(book, 1, 5), propose(book, 2, 40), propose(book, 3, 60)
    assert [r.state for r in (small, large, denied)] == [OrderState.APPROVED, OrderState.APPROVED, OrderState.DENIED]
    past = load_decisions(database)
    assert [decision.intent for decision in past] == [r.intent for r in (small, large, denied)]
    answers = [review_again(decision, parse_changes(["max_order_value_usd=5000"])).answer for decision in past]
    assert answers == [Answer.SAME, Answer.DENIED, Answer.SAME]
    with database.connect() as connection:
        rows = connection.execute("select distinct limits_sha256 from oms.risk_decision").fetchall()
    assert rows == [(digest(TIGHT),)]


def test_a_decision_from_before_facts_were_stored_cannot_be_told(database) -> None:
    book = PostgresIntents(database, "salt")
    book.propose(an_intent(1), approve, now=EVENING, dagster_run_id=None, created_by="test")
    (past,) = load_decisions(database)
    assert review_again(past, parse_changes(["max_order_value_usd=1"])).answer is Answer.UNKNOWN


def test_limits_are_kept_at_their_first_use_and_again_when_they_change(database) -> None:
    def stored() -> set[str]:
        with database.connect() as connection:
            return {row[0] for row in connection.execute("select sha256 from oms.limits_version")}

    kept, wider = KeptLimits(database), limits(max_orders_per_day=60)
    assert (kept.name(LIMITS), stored()) == (digest(LIMITS), {digest(LIMITS)})
    assert kept.name(limits()) == digest(LIMITS)
    assert (kept.name(wider), stored()) == (digest(wider), {digest(LIMITS), digest(wider)})
    assert kept.name(LIMITS) == digest(LIMITS)


def test_decisions_are_found_by_session(database) -> None:
    book = PostgresIntents(database, "salt")
    for number, day in enumerate((date(2012, 10, 1), date(2012, 10, 2)), start=1):
        order = an_intent(number, session_date=day)
        book.propose(order, approve, now=EVENING, dagster_run_id=None, created_by="test")
    days = [date(2012, 10, 1), date(2012, 10, 2)]
    assert [p.intent.session_date for p in load_decisions(database)] == days
    assert [p.intent.session_date for p in load_decisions(database, first=days[1])] == days[1:]
    assert [p.intent.session_date for p in load_decisions(database, last=days[0])] == days[:1]


def test_a_process_notes_who_it_is_and_where_its_limits_come_from(database, monkeypatch) -> None:
    monkeypatch.setenv("IBKR_ASSETS_CONFIG", "/etc/limits.yaml")
    monkeypatch.setenv("LOGNAME", "somebody")
    store = PostgresLimits(database)
    assert store.in_force(TIGHT, Mode.LIVE) == TIGHT
    assert store.in_force(LOOSE, Mode.LIVE) == TIGHT
    assert store.in_force(LOOSE, Mode.SIM) == LOOSE
    changes = store.read(None).history
    assert [(c.mode, c.sha256) for c in changes] == [
        (Mode.LIVE, digest(TIGHT)), (Mode.LIVE, digest(LOOSE)), (Mode.SIM, digest(LOOSE))
    ]  # fmt: skip
    assert {c.origin for c in changes} == {"/etc/limits.yaml and environment"}
    assert all(c.actor.startswith("somebody at ") for c in changes)

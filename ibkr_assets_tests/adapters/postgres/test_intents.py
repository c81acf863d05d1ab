"""Proposing: one decision is one intent, and no two of them pass the same limit."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.errors import IdempotencyMismatch, InputError, Unavailable
from ibkr_assets.domain.ledger import AccountSnapshot
from ibkr_assets.domain.order import Mode, OrderState, Side
from ibkr_assets.domain.signal import Direction, Signal
from ibkr_assets.risk.engine import Approved, Denied, Finding
from ibkr_assets_tests.execution.desk import ACCOUNT, EVENING, REF, an_intent, approve
from ibkr_assets_tests.risk.orders import CLOSE, NEXT_OPEN


@pytest.fixture
def book(database):
    made = PostgresIntents(database, "salt")
    yield made
    assert [found for found in check_invariants(database) if found["violations"]] == []


def propose(book, intent, review=approve, now=EVENING):
    return book.propose(intent, review, now=now, dagster_run_id="run", created_by="test")


def limit_of(most):
    """A review that allows `most` shares held and open, as a rule under test."""

    def review(intent, exposure):
        total = exposure.held + exposure.open_buys + intent.quantity
        finding = Finding("MOST", is_passed=total <= most, numbers={"total": str(total)})
        if finding.is_passed:
            return Approved(intent, (finding,))
        return Denied(intent, "MOST", f"{total} of {most}", (finding,))

    return review


def test_64_approvals_at_once_against_one_limit_pass_exactly_as_many_as_fit(book):
    gate = threading.Barrier(16)

    def go(number):
        if number < 16:
            gate.wait()
        return propose(book, an_intent(number), limit_of(60)).state

    with ThreadPoolExecutor(16) as pool:
        states = list(pool.map(go, range(64)))
    assert states.count(OrderState.APPROVED) == 6
    assert states.count(OrderState.DENIED) == 58


def test_the_same_decision_five_times_from_two_threads_is_one_intent(book):
    with ThreadPoolExecutor(2) as pool:
        records = list(pool.map(lambda _: propose(book, an_intent()), range(5)))
    assert len({record.intent_id for record in records}) == 1
    assert [record.is_new for record in records].count(True) == 1
    assert len(book.intents()) == 1


def test_the_same_decision_with_another_payload_is_an_error_and_no_second_order(book):
    propose(book, an_intent())
    with pytest.raises(IdempotencyMismatch, match=r"BUY 10 IBM .* came again as BUY 11 IBM"):
        propose(book, an_intent(quantity=Decimal(11)))
    assert len(book.intents()) == 1


def test_a_stored_decision_is_not_reviewed_again(book):
    propose(book, an_intent())

    def never(intent, exposure):
        raise AssertionError("reviewed twice")

    assert propose(book, an_intent(), never).is_new is False


def test_a_rehearsal_never_stands_in_the_way_of_the_real_order(book):
    rehearsed = propose(book, an_intent(mode=Mode.DRY_RUN))
    real = propose(book, an_intent())
    assert rehearsed.intent_id != real.intent_id
    assert real.is_new


def test_a_denial_is_kept_with_its_code_and_numbers(book, database):
    record = propose(book, an_intent(), limit_of(5))
    assert (str(record.state), record.reason) == ("DENIED", "MOST: 10 of 5")
    with database.connect() as connection:
        row = connection.execute("select is_approved, findings from oms.risk_decision").fetchone()
    assert row == (False, [{"code": "MOST", "is_passed": False, "numbers": {"total": "10"}, "text": ""}])


def test_an_intent_past_its_validity_is_born_expired_and_not_reviewed(book):
    def never(intent, exposure):
        raise AssertionError("reviewed")

    for now in (NEXT_OPEN, NEXT_OPEN + timedelta(days=400)):
        record = propose(book, an_intent(), never, now=now)
        assert str(record.state) == "EXPIRED_UNSENT"


def test_a_review_that_fails_leaves_nothing_behind(book):
    def broken(intent, exposure):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        propose(book, an_intent(), broken)
    assert book.intents() == []


def test_an_approval_reserves_its_worst_case_and_a_denial_nothing(book, database):
    propose(book, an_intent(1), limit_of(10))
    propose(book, an_intent(2), limit_of(10))
    with database.connect() as connection:
        rows = connection.execute("select quantity, notional_usd, released_at from oms.reservation").fetchall()
    assert rows == [(Decimal(10), Decimal(2060), None)]


def test_exposure_counts_what_is_open_by_side_and_rehearsals_apart(book):
    propose(book, an_intent(1))
    propose(book, an_intent(2, side=Side.SELL, limit_price=Decimal(194)))
    propose(book, an_intent(3, mode=Mode.DRY_RUN))
    seen = []

    def look(intent, exposure):
        seen.append((intent.mode, exposure.held, exposure.open_buys, exposure.open_sells))
        return Approved(intent, ())

    propose(book, an_intent(4), look)
    propose(book, an_intent(5, mode=Mode.DRY_RUN), look)
    assert seen == [(Mode.SIM, 0, 10, 10), (Mode.DRY_RUN, 0, 30, 10)]


def test_held_and_working_is_of_one_strategy_and_leaves_rehearsals_out(book):
    propose(book, an_intent(1))
    propose(book, an_intent(1, mode=Mode.DRY_RUN, conid=1))
    propose(book, an_intent(2))
    assert book.held_and_working(REF, Mode.SIM, "s1") == {8314: 10}


def test_intents_are_found_by_session_strategy_and_state(book):
    propose(book, an_intent(1))
    propose(book, an_intent(2), limit_of(5))
    assert [r.intent.strategy_id for r in book.intents(session_date=CLOSE.date())] == ["s1", "s2"]
    assert [r.intent.strategy_id for r in book.intents(strategy_id="s2")] == ["s2"]
    assert [r.intent.strategy_id for r in book.intents(states=[OrderState.APPROVED])] == ["s1"]
    assert book.intents(session_date=NEXT_OPEN.date()) == []


def test_what_comes_back_is_the_intent_that_was_stored(book):
    given = an_intent(limit_price=Decimal("206.0100"), quantity=Decimal("1E+1"))
    assert propose(book, given).intent == given
    assert str(propose(book, given).intent.quantity) == "10"


def test_times_that_are_not_utc_are_refused_because_they_name_the_decision(book):
    eastern = timezone(timedelta(hours=-4))
    with pytest.raises(InputError, match="signal_bar_end"):
        propose(book, an_intent(signal_bar_end=CLOSE.astimezone(eastern)))


def test_a_kill_is_seen_by_whom_it_covers_until_it_is_taken_back(book, database):
    ledger = PostgresLedger(database)
    assert book.killed_by(REF, "s1", 8314) is None
    for scope in ("global", f"account:{REF}", "strategy:s1", "conid:8314"):
        ledger.control("kill", scope=scope, actor="somebody", reason="wrong prices")
        assert "wrong prices" in str(book.killed_by(REF, "s1", 8314))
        ledger.control("resume", scope=scope, actor="somebody", reason="checked")
        assert book.killed_by(REF, "s1", 8314) is None
    ledger.control("kill", scope="strategy:s2", actor="somebody", reason="wrong prices")
    assert book.killed_by(REF, "s1", 8314) is None


# -- plans


def signal(conid=8314, strength=1.0, **changes):
    values = {
        "strategy_id": "s1", "strategy_version": 1, "conid": conid, "symbol": "IBM", "session_date": CLOSE.date(),
        "as_of": CLOSE, "direction": Direction.LONG, "strength": strength, "reference_price": Decimal(200),
        "feature_digest": "f", "input_digest": "i", "reason": "because",
    }  # fmt: skip
    return Signal(**{**values, **changes})


def store_nav(database, nav, epoch=1):
    ledger = PostgresLedger(database).of_account(REF)
    ledger.lease.register(ACCOUNT, Mode.SIM)
    cash = Decimal(nav)
    ledger.account.save_snapshot(
        AccountSnapshot(EVENING, cash, Decimal(0), Decimal(0), nav_broker=cash, broker_cash=cash), epoch=epoch
    )


def plan_shares(signals, held, nav):
    """A hundredth of the NAV, in shares of 100 USD, less what is held."""
    wanted = {s.conid: (nav // 10_000) - held.get(s.conid, Decimal(0)) for s in signals}
    return [an_intent(conid=conid, quantity=quantity) for conid, quantity in wanted.items() if quantity > 0]


def plan(book, signals, planner=plan_shares, mode=Mode.SIM):
    return book.plan_once(signals, planner, account_ref=REF, mode=mode, dagster_run_id="run")


def test_without_a_net_asset_value_nothing_is_planned_and_the_reason_is_given(book):
    with pytest.raises(Unavailable, match="submitter has not reconciled"):
        plan(book, [signal()])


def test_a_plan_is_made_once_whatever_has_moved_since(book, database):
    store_nav(database, 100_000)
    first = plan(book, [signal()])
    propose(book, first[0])
    store_nav(database, 200_000)
    assert plan(book, [signal(feature_digest="revised")]) == first
    assert [intent.quantity for intent in first] == [10]


def test_a_signal_that_needed_no_order_needs_none_later_either(book, database):
    store_nav(database, 9_000)
    assert plan(book, [signal()]) == []
    store_nav(database, 200_000)
    assert plan(book, [signal()]) == []


def test_a_planned_signal_that_says_something_else_is_an_error(book, database):
    store_nav(database, 100_000)
    plan(book, [signal()])
    with pytest.raises(IdempotencyMismatch, match=r"now says long 0\.5"):
        plan(book, [signal(strength=0.5)])


def test_signals_that_come_later_are_planned_beside_those_that_were(book, database):
    store_nav(database, 100_000)
    plan(book, [signal(8314)])
    asked = []

    def planner(signals, held, nav):
        asked.extend(s.conid for s in signals)
        return plan_shares(signals, held, nav)

    both = plan(book, [signal(8314), signal(272093)], planner)
    assert asked == [272093]
    assert [intent.conid for intent in both] == [8314, 272093]


def test_a_rehearsal_has_a_plan_of_its_own(book, database):
    store_nav(database, 100_000)
    plan(book, [signal()])
    store_nav(database, 200_000)

    def rehearse(signals, held, nav):
        return [replace(i, mode=Mode.DRY_RUN) for i in plan_shares(signals, held, nav)]

    assert plan(book, [signal()], rehearse, mode=Mode.DRY_RUN)[0].quantity == 20


def test_two_runs_at_once_plan_once(book, database):
    store_nav(database, 100_000)
    calls = []

    def planner(signals, held, nav):
        calls.append(len(signals))
        return plan_shares(signals, held, nav)

    with ThreadPoolExecutor(4) as pool:
        plans = list(pool.map(lambda _: plan(book, [signal()], planner), range(8)))
    assert calls == [1]
    assert all(each == plans[0] for each in plans)


def test_the_newest_net_asset_value_carries_its_market_time(book, database):
    assert book.net_asset_value(REF) is None
    store_nav(database, 1)
    store_nav(database, 100_000)
    assert book.net_asset_value(REF) == (Decimal(100_000), EVENING)
    assert EVENING.tzinfo is UTC
    assert isinstance(book.net_asset_value(REF)[1], datetime)

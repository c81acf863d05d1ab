"""Decisions at once against one limit: exactly as many pass as fit, whatever the limit is of."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.ports import IntentRecord
from ibkr_assets.risk.engine import Decision, review
from ibkr_assets.risk.facts import Exposure, Limits
from ibkr_assets_tests.execution.contest import AT_ONCE, CONTESTS, EVENING, reserved, run_contest
from ibkr_assets_tests.risk.orders import FACTS, NOTHING


@pytest.mark.parametrize("kind", ["position", "gross", "daily_notional"])
def test_64_decisions_at_once_pass_a_limit_exactly_as_often_as_they_fit(
    kind: str, database: Database, database_url: str
) -> None:
    contest = CONTESTS[kind](7)
    outcome = run_contest(database_url, contest)
    assert 0 < contest.fits < AT_ONCE
    assert (outcome.approved, outcome.denied_by) == (contest.fits, {kind: AT_ONCE - contest.fits})
    assert reserved(database) == [contest.shares] * contest.fits
    assert outcome.at_once > AT_ONCE // 2
    assert [found for found in check_invariants(database) if found["violations"]] == []


def test_an_exposure_read_before_the_lock_would_break_the_limit_and_be_seen_here(database_url: str) -> None:
    everybody_has_read = threading.Barrier(AT_ONCE)

    def careless(book: PostgresIntents, intent: OrderIntent, in_force: Limits) -> IntentRecord:
        everybody_has_read.wait(60)

        def judge(proposed: OrderIntent, exposure: Exposure) -> Decision:
            del exposure
            return review(proposed, replace(FACTS, now=EVENING), NOTHING, in_force)

        return book.propose(intent, judge, now=EVENING, dagster_run_id=None, created_by="careless")

    contest = CONTESTS["position"](7)
    assert run_contest(database_url, contest, careless).approved == AT_ONCE > contest.fits

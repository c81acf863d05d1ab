"""Many decisions at once against one limit, over a real ledger and with the real rules; how many get through.

A connection a decision is open before the start, and all wait at one barrier, so nothing but the ledger keeps them
apart. How many fit is worked out from the limit and the size of one order alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.ledger import AccountSnapshot
from ibkr_assets.domain.order import Mode, OrderIntent, OrderState
from ibkr_assets.execution.propose import review_with
from ibkr_assets.ports import IntentRecord
from ibkr_assets.risk.facts import Limits
from ibkr_assets_tests.execution.desk import ACCOUNT, EVENING, REF, an_intent
from ibkr_assets_tests.risk.orders import limits

AT_ONCE = 64
NAV_USD = 100_000
#: The worst price of every order here: the limit price, which is above the reference.
PRICE_USD = 206

Proposing = Callable[[PostgresIntents, OrderIntent, Limits], IntentRecord]


@dataclass(frozen=True, slots=True)
class Contest:
    """One limit, `AT_ONCE` decisions of `shares` each, of which only `fits` keep it."""

    name: str
    shares: int
    limits: Limits
    fits: int
    conids: int = 1

    def order(self, number: int) -> OrderIntent:
        """The order of one decision; each is of a strategy of its own."""
        if self.conids == 1:
            return an_intent(number, quantity=Decimal(self.shares))
        return an_intent(number, quantity=Decimal(self.shares), conid=1000 + number, symbol=f"S{number}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the decisions came to; `at_once` is how many were inside the proposing at one moment."""

    approved: int
    denied_by: dict[str, int]
    at_once: int


def position_contest(shares: int) -> Contest:
    """One instrument, of which a tenth of the net asset value may be held."""
    return Contest("position", shares, limits(), (NAV_USD // 10) // (shares * PRICE_USD))


CONTESTS: dict[str, Callable[[int], Contest]] = {"position": position_contest}


def prepare(database: Database) -> None:
    """Register the account, with its net asset value on record."""
    ledger, nav = PostgresLedger(database).of_account(REF), Decimal(NAV_USD)
    ledger.lease.register(ACCOUNT, Mode.SIM)
    ledger.account.save_snapshot(
        AccountSnapshot(EVENING, nav, Decimal(0), Decimal(0), nav_broker=nav, broker_cash=nav), epoch=1
    )


def propose(book: PostgresIntents, intent: OrderIntent, in_force: Limits, now: datetime = EVENING) -> IntentRecord:
    """As the asset `orders` does it: the facts read, then reviewed and stored under the account's lock."""
    review = review_with(book, intent, limits=in_force, platform_mode=Mode.SIM, now=now)
    return book.propose(intent, review, now=now, dagster_run_id=None, created_by="contest")


def run_contest(url: str, contest: Contest, proposing: Proposing = propose) -> Outcome:
    """Let all decisions go at once, on a fresh ledger, and count."""
    start, inside, most, counting = threading.Barrier(AT_ONCE), 0, 0, threading.Lock()

    def count(change: int) -> None:
        nonlocal inside, most
        with counting:
            inside += change
            most = max(most, inside)

    def decide(number: int, database: Database) -> IntentRecord:
        book = PostgresIntents(database, "salt")
        book.killed_by(REF, "warm")  # the connection is open from here on
        start.wait(60)
        count(1)
        try:
            return proposing(book, contest.order(number), contest.limits)
        finally:
            count(-1)

    with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
        databases = [stack.enter_context(closing(Database(url, lock_timeout_s=60))) for _ in range(AT_ONCE)]
        prepare(databases[0])
        records = list(pool.map(decide, range(AT_ONCE), databases))
    denied_by: dict[str, int] = {}
    for record in records:
        if record.state is OrderState.DENIED:
            code = record.reason.partition(":")[0]
            denied_by[code] = denied_by.get(code, 0) + 1
    approved = sum(record.state is OrderState.APPROVED for record in records)
    return Outcome(approved, denied_by, most)


def reserved(database: Database) -> list[Any]:
    """Shares of every open reservation."""
    with database.connect() as connection:
        rows = connection.execute("select quantity from oms.reservation where released_at is null").fetchall()
    return [row[0] for row in rows]

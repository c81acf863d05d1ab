"""Many decisions at once against one limit, over a real ledger and with the real rules; how many get through.

A connection a decision is open before the start, and all wait at one barrier, so nothing but the ledger keeps them
apart. How many fit is worked out from the limit and the size of one order alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.order import Mode, OrderIntent, OrderState
from ibkr_assets.execution.propose import review_with
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.ports import IntentRecord
from ibkr_assets.risk.facts import Limits
from ibkr_assets_tests.execution.desk import ACCOUNT, EVENING, REF, an_intent
from ibkr_assets_tests.execution.furnished import furnish, furnished_book, store_nav
from ibkr_assets_tests.risk.orders import CLOSE

AT_ONCE = 64
NAV_USD = 100_000
#: The worst price of every order here: the limit price, which is above the reference.
PRICE_USD = 206

SYMBOLS = {8314: "IBM"} | {1000 + number: f"S{number}" for number in range(AT_ONCE)}
_MUCH = Decimal(10**6)
#: Limits of which none is in the way.
WIDE = Limits(
    allowed_symbols=frozenset(SYMBOLS.values()), max_order_value_usd=_MUCH, max_order_nav_fraction=_MUCH,
    max_position_nav_fraction=_MUCH, max_gross_nav_fraction=_MUCH, max_net_nav_fraction=_MUCH,
    max_sector_nav_fraction=_MUCH, max_daily_notional_nav_fraction=_MUCH, max_repeats_per_day=10**6,
    max_orders_per_day=10**6, max_orders_per_day_and_instrument=10**6, max_working_orders=10**6,
    max_messages_per_day=10**6, look_alike_minutes=0,
)  # fmt: skip

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


def _contest(name: str, shares: int, *, fits: int | None = None, conids: int = AT_ONCE, **tight: Any) -> Contest:
    """One limit that is tight, of a tenth of the net asset value unless `fits` says how many keep it."""
    room = (NAV_USD // 10) // (shares * PRICE_USD)
    return Contest(name, shares, replace(WIDE, **tight), room if fits is None else fits, conids)


def _cash_contest(shares: int) -> Contest:
    """Cash pays for what is open and this order, and two hundredths more of this order."""
    cost = 4 * shares * PRICE_USD
    return _contest("cash", 4 * shares, fits=(NAV_USD * 100 - 102 * cost) // (100 * cost) + 1)


_TENTH = Decimal("0.1")
CONTESTS: dict[str, Callable[[int], Contest]] = {
    "position": lambda shares: _contest("position", shares, conids=1, max_position_nav_fraction=_TENTH),
    "gross": lambda shares: _contest("gross", shares, max_gross_nav_fraction=_TENTH),
    "net": lambda shares: _contest("net", shares, max_net_nav_fraction=_TENTH),
    "sector": lambda shares: _contest("sector", shares, max_sector_nav_fraction=_TENTH),
    "daily_notional": lambda shares: _contest("daily_notional", shares, max_daily_notional_nav_fraction=_TENTH),
    "order_count": lambda shares: _contest("order_count", shares, fits=shares, max_orders_per_day=shares),
    "cash": _cash_contest,
}


def prepare(database: Database) -> None:
    """An account and instruments of which every rule can be evaluated."""
    furnish(database, account=ACCOUNT, nav=Decimal(NAV_USD), symbols=SYMBOLS)


def look_again(database: Database) -> None:
    """The same account, prepared a while ago, was just compared again: bars are most of what preparing costs."""
    store_nav(PostgresLedger(database), REF, Decimal(NAV_USD), CLOSE)


def propose(book: PostgresIntents, intent: OrderIntent, in_force: Limits, now: datetime = EVENING) -> IntentRecord:
    """As the asset `orders` does it: the facts read, then reviewed and stored under the account's lock."""
    review = review_with(
        book, intent, limits=in_force, platform_mode=Mode.SIM, now=now, calendar=exchange_calendar("XNYS")
    )
    return book.propose(intent, review, now=now, dagster_run_id=None, created_by="contest", limits=in_force)


def run_contest(
    url: str,
    contest: Contest,
    proposing: Proposing = propose,
    *,
    preparing: Callable[[Database], None] = prepare,
) -> Outcome:
    """Let all decisions go at once, on a fresh ledger, and count."""
    start, inside, most, counting = threading.Barrier(AT_ONCE), 0, 0, threading.Lock()

    def count(change: int) -> None:
        nonlocal inside, most
        with counting:
            inside += change
            most = max(most, inside)

    def decide(number: int, database: Database) -> IntentRecord:
        book = furnished_book(database)
        book.killed_by(REF, "warm")  # the connection is open from here on
        start.wait(60)
        count(1)
        try:
            return proposing(book, contest.order(number), contest.limits)
        finally:
            count(-1)

    with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
        databases = [stack.enter_context(closing(Database(url, lock_timeout_s=60))) for _ in range(AT_ONCE)]
        preparing(databases[0])
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

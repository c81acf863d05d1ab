"""A stored decision beside what happened, over a real database: exact, then each cause in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.parity import PostgresParity
from ibkr_assets.adapters.postgres.strategies import PostgresStrategies
from ibkr_assets.backtest.parity import CAUSES
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.order import Mode
from ibkr_assets.execution.parity import Parity, SessionParity
from ibkr_assets_tests.databases import fresh_database
from ibkr_assets_tests.execution.decided import DAY, NYSE, STRATEGY, Decided, decide
from ibkr_assets_tests.execution.desk import REF
from ibkr_assets_tests.fakes.tape import real_bars

NEXT = NYSE.session(date(2012, 10, 2))
LATER = datetime(2012, 10, 3, 22, tzinfo=UTC)
TAPE = real_bars("FB", start=NEXT.day, end=NEXT.day)
OPENED, CLOSED = (Decimal(repr(float(TAPE[name].iloc[0]))) for name in ("open", "close"))


@pytest.fixture(scope="module")
def decided(postgres_server: Any, _template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Decided]:
    """One order of a session, filled at the next opening, and the bar of that session."""
    with fresh_database(postgres_server, _template) as name:
        database = Database(postgres_server.url(name, "ibkr_platform"))
        yield _decide(database, tmp_path_factory.mktemp("desk"))
        database.close()


def _decide(database: Database, directory: Path) -> Decided:
    made = decide(database, directory)
    made.store.save_bars(TAPE, BarSize.DAY, source="tape", known_from=LATER)
    made.forge(
        "oms.execution",
        f"update oms.execution set price = {OPENED}, executed_at = '{NEXT.opens_at.isoformat()}', commission = 1.00",
    )
    return made


def parity(database: Database) -> Parity:
    strategies = PostgresStrategies(database)
    return Parity(
        PostgresBars(database), strategies, PostgresParity(database, REF, Mode.SIM).read, strategies.version, NYSE,
        window_sessions=120, account=None,
    )  # fmt: skip


def differences(decided: Decided) -> tuple[SessionParity, dict[str, Decimal]]:
    found = parity(decided.database).compare(DAY, LATER)
    return found, {cause: usd for cause in CAUSES if (usd := found.by_cause()[cause])}


def test_on_a_venue_that_does_what_is_expected_nothing_differs(decided: Decided) -> None:
    found, causes = differences(decided)
    assert causes == {}
    assert found.is_exact
    (one,) = found.comparisons
    assert [(fill.shares, fill.price) for fill in one.expected] == [(decided.record.intent.quantity, OPENED)]


@pytest.mark.parametrize(
    ("change", "back", "cause", "usd_a_share"),
    [
        (f"price = {OPENED} + 0.05", f"price = {OPENED}", "price", Decimal("-0.05")),
        (
            f"price = {OPENED} + 0.05, executed_at = executed_at + interval '10 minutes'",
            f"price = {OPENED}, executed_at = executed_at - interval '10 minutes'",
            "timing",
            Decimal("-0.05"),
        ),
        ("commission = 1.25", "commission = 1.00", "fee", None),
    ],
)
def test_a_worse_fill_is_told_by_its_cause(
    decided: Decided, change: str, back: str, cause: str, usd_a_share: Decimal | None
) -> None:
    with decided.forged("oms.execution", change, back):
        found, causes = differences(decided)
    quantity = decided.record.intent.quantity
    assert causes == {cause: Decimal("-0.25") if usd_a_share is None else usd_a_share * quantity}
    assert not found.is_exact
    assert found.total_usd == causes[cause]


def test_shares_that_did_not_come_are_a_difference_of_size_with_what_became_of_the_order(decided: Decided) -> None:
    quantity = decided.record.intent.quantity
    with decided.forged("oms.execution", "quantity = quantity - 10", "quantity = quantity + 10"):
        found, causes = differences(decided)
    assert causes == {"size": -10 * (CLOSED - OPENED)}
    assert f"BUY {quantity:f} FILLED" in found.comparisons[0].words.replace(".0000", "")


def test_a_decision_that_the_bars_of_today_do_not_take_is_a_missed_bar(decided: Decided) -> None:
    with revised(decided):
        found, causes = differences(decided)
    assert set(causes) == {"missed_bar"}
    assert "on the bars of today: flat" in found.comparisons[0].words


def test_a_run_that_never_was_is_a_missed_bar_of_what_it_would_have_earned(decided: Decided) -> None:
    """The decision is there; for a day without one, of a strategy that decided before, the bars say what was missed."""
    store, day = parity(decided.database), NYSE.next_session(DAY).day
    bars = real_bars("FB", start=date(2012, 10, 3), end=date(2012, 10, 3))
    with decided.database.connect() as connection:
        connection.execute(
            "insert into md.bar_verdict (conid, bar_size, opened_at, version, verdict) "
            "select conid, bar_size, opened_at, version, 'accepted' from md.bar "
            "where opened_at = %s and source = 'tape' on conflict do nothing",
            (NEXT.opens_at,),
        )
    decided.store.save_bars(bars, BarSize.DAY, source="tape", known_from=LATER)
    found = store.compare(day, LATER)
    (one,) = found.comparisons
    assert one.expected == one.fills == ()  # the position of the day before is what it still wants
    assert one.note.startswith("decided then: nothing; on the bars of today: long")


def test_what_cannot_be_compared_is_said_and_not_exact(decided: Decided) -> None:
    where = f"where opened_at = '{NEXT.opens_at.isoformat()}' and source = 'tape'"
    decided.forge("md.bar", f"update md.bar set known_to = '{LATER.isoformat()}' {where}")
    try:
        found = parity(decided.database).compare(DAY, LATER)
    finally:
        decided.forge("md.bar", f"update md.bar set known_to = null {where}")
    why = "1 bars of 2012-10-01 and 2012-10-02, both are needed"
    assert found.uncompared == ((STRATEGY.id, "FB", why),)
    assert not found.is_exact


def test_a_session_whose_orders_are_still_at_work_is_refused(decided: Decided) -> None:
    work = parity(decided.database)
    with pytest.raises(InputError, match="session 2012-10-01: its orders are for 2012-10-02, which is not over"):
        work.compare(DAY, NEXT.opens_at)
    assert work.last_day(NEXT.closes_at) == DAY


@contextmanager
def revised(decided: Decided) -> Iterator[None]:
    """The bar that was decided on, with a close that decides otherwise."""
    where = f"where opened_at = '{NYSE.session(DAY).opens_at.isoformat()}' and source = 'tape'"
    decided.forge("md.bar", f"update md.bar set close = close / 2, low = low / 2 {where}")
    try:
        yield
    finally:
        decided.forge("md.bar", f"update md.bar set close = close * 2, low = low * 2 {where}")

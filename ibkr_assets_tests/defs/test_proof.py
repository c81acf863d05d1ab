"""Orders rest on bars that are proven when they are proposed, whichever assets a run materialises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.hours import PostgresHours
from ibkr_assets.adapters.postgres.proofs import NO_BASIS
from ibkr_assets.adapters.postgres.quarantine import PostgresQuarantine
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.order import OrderState
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.market.hours import HoursDifference
from ibkr_assets.market.quarantine import Decision
from ibkr_assets_tests.defs.chain import FIVE, STRATEGY, Chain, metadata_of

DAY, WITHIN = date(2012, 11, 21), date(2012, 11, 7)
FB = 107113386
ID = f"{FB}-1d-20121107T143000Z"
#: The strategy is long of it on that day.
ONE = replace(STRATEGY, symbols=("FB",))


@pytest.fixture
def chain(database: Database, database_url: str) -> Iterator[Chain]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Chain(database, database_url, instance, strategies=(ONE,))


def bars(chain: Chain, day: date = WITHIN) -> pd.DataFrame:
    session = exchange_calendar("XNYS").session(day)
    return chain.bar_store.load_bars([FB], BarSize.DAY, session.opens_at, session.closes_at)


def correct(chain: Chain) -> None:
    changed = bars(chain).drop(columns=["version", "row_sha"])
    changed["volume"] += 1
    chain.bar_store.save_bars(changed, BarSize.DAY, source="test", known_from=chain.clock.now())


def correct_and_judge(chain: Chain) -> None:
    correct(chain)
    chain.bar_store.save_verdicts(BarSize.DAY, bars(chain), bars(chain).head(0).assign(reason=""))


def quarantine(chain: Chain) -> None:
    chain.bar_store.save_verdicts(BarSize.DAY, bars(chain).head(0), bars(chain).assign(reason="too_big_jump"))


def alter(chain: Chain) -> None:
    with chain.database.connect() as connection:
        connection.execute("update md.bar set close = close + 0.01 where conid = %s and opened_at::date = %s",
                           (FB, WITHIN))  # fmt: skip


def delay(chain: Chain) -> None:
    marked = bars(chain)[["conid", "opened_at"]].assign(availability="D", delay_s=900.0)
    chain.bar_store.save_delays(marked, BarSize.DAY, now=chain.clock.now())


def forget(chain: Chain) -> None:
    with chain.database.connect() as connection:
        connection.execute("alter table research.signal_basis disable trigger user")
        connection.execute("delete from research.signal_basis")
        connection.execute("alter table research.signal_basis enable trigger user")


def held_back(chain: Chain, *select: str) -> str:
    shown: str = metadata_of(chain.run(DAY, select=select or ("orders",)), "orders")["held_back"]
    return shown


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (correct, f"bar {ID}-1 of 2012-11-07 was corrected after the signal"),
        (correct_and_judge, f"bar {ID}-1 of 2012-11-07 was corrected after the signal"),
        (quarantine, f"bar {ID}-1 of 2012-11-07 is in quarantine: too_big_jump"),
        (alter, f"bar {ID}-1 of 2012-11-07 was altered: its values do not give its hash"),
        (delay, f"bar {ID}-1 of 2012-11-07 came from a delayed feed (D, 900 s)"),
        (forget, NO_BASIS),
    ],
)
def test_orders_launched_alone_are_denied_with_the_bar_that_is_not_proven_any_more(
    chain: Chain, change: Callable[[Chain], None], fault: str
) -> None:
    chain.run(DAY, select=FIVE[:4])
    change(chain)
    assert f"| 2012-11-21 | cross | FB | {fault} |" in held_back(chain)
    assert chain.book.intents() == []


def test_orders_follow_once_the_signal_has_seen_what_was_corrected(chain: Chain) -> None:
    chain.run(DAY, select=FIVE[:4])
    correct_and_judge(chain)
    held_back(chain)
    chain.run(DAY, select=("enriched_features",))
    assert "FB" not in held_back(chain, "signals", "orders")
    assert [record.state for record in chain.book.intents()] == [OrderState.APPROVED]


def test_signals_and_orders_launched_together_are_denied_while_a_bar_between_is_in_quarantine(chain: Chain) -> None:
    chain.run(DAY, select=FIVE[:3])
    quarantine(chain)
    fault = f"bar {ID}-1 of 2012-11-07 is in quarantine: too_big_jump"
    assert fault in held_back(chain, "signals", "orders")
    assert chain.book.intents() == []


def test_a_bar_that_is_released_after_the_signal_asks_for_another_signal(chain: Chain) -> None:
    chain.run(DAY, select=FIVE[:3])
    quarantine(chain)
    chain.run(DAY, select=("signals",))
    PostgresQuarantine(chain.database).decide([f"{ID}-1"], Decision.RELEASE, actor="ann", reason="the exchange says so")
    assert f"bar {ID}-1 of 2012-11-07 was accepted after the signal" in held_back(chain)
    assert "FB" not in held_back(chain, "signals", "orders")


def test_a_session_whose_bar_was_never_judged_gives_no_order_whatever_else_was_run(chain: Chain) -> None:
    chain.run(DAY, select=FIVE[:4])
    with chain.database.connect() as connection:
        connection.execute("delete from md.bar_verdict where conid = %s and opened_at::date = %s", (FB, DAY))
    assert f"bar {FB}-1d-20121121T143000Z-1 of 2012-11-21 is not judged" in held_back(chain)


def test_an_instrument_that_is_held_afterwards_is_denied_with_the_bar_that_holds_it(chain: Chain) -> None:
    chain.run(DAY, select=FIVE[:4])
    suspect = bars(chain).assign(reason="split_suspect")
    chain.bar_store.save_holds(suspect[["conid", "symbol", "opened_at", "version", "reason"]])
    chain.run(DAY, select=("orders",))
    record = chain.book.intents()[0]
    assert record.state is OrderState.DENIED
    assert "split_suspect: FB of 2012-11-07, version 1" in record.reason


def test_a_change_after_the_orders_changes_none_of_them_and_adds_none(chain: Chain) -> None:
    chain.run(DAY)
    before = chain.book.intents()
    assert [record.state for record in before] == [OrderState.APPROVED]
    chain.clock.moment += timedelta(minutes=1)
    correct(chain)
    held_back(chain)
    assert chain.book.intents() == before


def test_a_session_of_which_broker_and_calendar_do_not_agree_has_no_order_of_that_contract(chain: Chain) -> None:
    chain.run(DAY, select=FIVE[:4])
    half_day = date(2012, 11, 23)  # the session that the orders are for
    hours = PostgresHours(chain.database)
    for day in (half_day, date(2012, 11, 26)):
        found = [HoursDifference(day, "14:30-18:00 UTC", "14:30-21:00 UTC")]
        hours.save_hours(FB, "XNYS", found, first=day, last=day, now=chain.clock.now())
    fault = "the broker and the calendar XNYS differ on 2012-11-23: calendar 14:30-18:00 UTC, broker 14:30-21:00 UTC"
    assert fault in held_back(chain)
    hours.save_hours(FB, "XNYS", [], first=half_day, last=half_day, now=chain.clock.now())
    assert "differ" not in held_back(chain), "what differs on another day does not matter"
    assert len(chain.book.intents()) == 1


OWN = """
from pydantic import BaseModel

from ibkr_assets.domain.signal import Direction
from ibkr_assets.strategies.by_bar import ByBar
from ibkr_assets.strategies.kind import Kind
from ibkr_assets.strategies.strategy import Opinion


class Params(BaseModel):
    pass


class Above(ByBar):
    features = ("sma_50",)
    warm_up_bars = 1
    memory_bars = 1

    def __init__(self, params):
        pass

    def decide(self, history):
        return Opinion(Direction.LONG, 1.0, "always")


KIND = Kind(Params, Above)
"""


def test_features_are_proven_by_every_bar_that_they_were_computed_from(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "above.py").write_text(OWN)
    own = replace(ONE, id="own", kind="above", params={})
    with dg.DagsterInstance.ephemeral() as instance:
        chain = Chain(database, database_url, instance, strategies=(own,), own_kinds=tmp_path)
        chain.run(DAY, select=FIVE[:4])
        read = chain.strategy_store.signals(DAY)
        assert chain.bar_store.input_faults(read) == {}
        quarantine(chain)  # a bar that the strategy was not shown
        assert chain.bar_store.input_faults(read) == {
            read[0]: f"bar {ID}-1 of 2012-11-07 is in quarantine: too_big_jump"
        }

"""A source that changed the scale of its history is told from one that corrected a bar, on real bars."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.corporate_actions import PostgresCorporateActions
from ibkr_assets.adapters.postgres.quarantine import PostgresQuarantine
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.ingest.overlap import check_overlap
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.market.overlap import find_rescaling
from ibkr_assets_tests.fakes.clock import FixedClock
from ibkr_assets_tests.fakes.source import TapeSource
from ibkr_assets_tests.fakes.tape import INSTRUMENTS, real_bars

PRICES = ["open", "high", "low", "close"]
NYSE = exchange_calendar("XNYS")


def around(symbol: str, day: str, *, before: int = 45, after: int = 15) -> tuple[pd.DataFrame, int]:
    """Real bars and the row of the day."""
    bars = real_bars(symbol)
    row = int((bars["opened_at"].dt.date == date.fromisoformat(day)).to_numpy().argmax())
    return bars.iloc[row - before : row + after].reset_index(drop=True), before


def scaled(bars: pd.DataFrame, row: int, ratio: float) -> pd.DataFrame:
    """As a source gives them that has adjusted everything before the row, to the cent as sources do."""
    again = bars.copy()
    again.loc[: row - 1, PRICES] = (again.loc[: row - 1, PRICES] * ratio).round(2)
    return again


@pytest.mark.parametrize(
    ("symbol", "day", "ratio", "kind", "value"),
    [
        ("AAPL", "2000-06-21", 1 / 2, "split", 2.0),
        ("AAPL", "2005-02-28", 1 / 2, "split", 2.0),
        ("MSFT", "2003-02-18", 1 / 2, "split", 2.0),
        ("MSFT", "2004-11-15", 1 - 3.08 / 29.97, "cash", 3.08),  # USD 3.08 a share; the close before it was 29.97
        ("IBM", "2012-06-01", 3.0, "split", 1 / 3),
    ],
)
def test_what_a_source_adjusted_for_is_named_with_its_day_and_value(
    symbol: str, day: str, ratio: float, kind: str, value: float
) -> None:
    bars, row = around(symbol, day)
    found = find_rescaling(bars, scaled(bars, row, ratio))
    assert found is not None
    assert (found.day.isoformat(), found.bars, str(found.kind)) == (day, row, kind)
    assert float(found.value or 0) == pytest.approx(value, abs=0.01)


def test_a_crash_that_a_source_gives_again_as_it_was_is_no_action() -> None:
    bars, row = around("AAPL", "2000-09-29")
    assert bars["close"][row] / bars["close"][row - 1] < 0.5
    assert find_rescaling(bars, bars) is None


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 59), max_size=30), st.floats(0.5, 2.0), st.randoms(use_true_random=False))
def test_corrections_here_and_there_are_no_action(rows: set[int], factor: float, random) -> None:
    bars, _ = around("IBM", "2012-06-01")
    again = bars.copy()
    for row in rows - {0}:  # the first bar is the same, so there is no day before which all differ
        again.loc[row, PRICES] *= factor * random.uniform(0.9, 1.1)
    assert find_rescaling(bars, again) is None


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 59), st.sampled_from([0.5, 1 / 3, 2 / 3, 0.9, 1.07, 4.0]))
def test_any_constant_ratio_before_any_day_is_found_on_that_day(row: int, ratio: float) -> None:
    bars, _ = around("IBM", "2012-06-01")
    found = find_rescaling(bars, scaled(bars, row, ratio))
    assert found is not None
    assert (found.day, found.bars) == (bars["opened_at"][row].date(), row)
    assert found.ratio == pytest.approx(ratio, rel=1e-3)
    assert (found.value is None) == (ratio == 1.07)


def test_a_rescaled_instrument_is_held_once_and_not_when_its_action_is_known_and_no_bar_is_changed(
    database: Database,
) -> None:
    bars, row = around("MSFT", "2003-02-18")
    store, msft = PostgresBars(database), INSTRUMENTS["MSFT"]
    store.save_instruments([msft])
    store.save_bars(bars, BarSize.DAY, source="test", known_from=datetime(2003, 3, 12, tzinfo=UTC))
    clock = FixedClock(bars["opened_at"].iloc[-1].to_pydatetime() + pd.Timedelta(hours=8))

    def look(source: TapeSource) -> list:
        return check_overlap(source, store, NYSE, instruments=[msft], clock=clock, sessions=60)

    assert look(TapeSource(bars)) == []
    adjusted = TapeSource(scaled(bars, row, 0.5))
    (seen,) = look(adjusted)
    assert (seen.found.day, seen.is_known) == (date(2003, 2, 18), False)
    holds = PostgresQuarantine(database)
    assert [(hold.symbol, hold.reason.split(":")[0]) for hold in holds.holds()][:1] != []
    count = len(holds.holds())
    look(adjusted)
    assert len(holds.holds()) == count
    stored = store.load_bars([msft.conid], BarSize.DAY, bars["opened_at"][0], clock.now())
    assert stored["close"].tolist() == bars["close"].tolist()
    holds.lift(msft.conid, actor="anna", reason="booked")
    from ibkr_assets.market.adjustment import ActionKind, CorporateAction

    action = CorporateAction(msft.conid, seen.found.day, ActionKind.SPLIT, seen.found.value)
    PostgresCorporateActions(database).save(action, source="issuer", actor="anna", known_from=clock.now())
    (again,) = look(adjusted)
    assert again.is_known
    assert holds.holds() == []

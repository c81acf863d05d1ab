"""Stored features: of validated bars only, and the same whether computed day by day or all at once."""

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.features.definition import FEATURES, feature_digest
from ibkr_assets.ingest.features import build_features
from ibkr_assets.ingest.validation import validate_sessions
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.fakes.bars import MemoryBars
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars

NYSE = exchange_calendar("XNYS")
START, EVENING = datetime(2000, 1, 1, tzinfo=UTC), datetime(2012, 12, 31, 22, tzinfo=UTC)
SESSIONS = NYSE.sessions(date(2012, 11, 12), date(2012, 11, 23))
WANTED = [INSTRUMENTS["AAPL"], INSTRUMENTS["IBM"]]


@pytest.fixture
def store() -> MemoryBars:
    store = MemoryBars()
    store.save_instruments(WANTED)
    bars = real_bars("IBM", "AAPL", start=date(2012, 6, 1), end=date(2012, 11, 23))
    store.save_bars(bars, BarSize.DAY, source="tape", known_from=EVENING)
    validate_sessions(store, NYSE, instruments=WANTED, sessions=SESSIONS)
    return store


def stored(store: MemoryBars) -> pd.DataFrame:
    return store.load_features(list(CONIDS.values()), BarSize.DAY, START, EVENING, feature_digest=feature_digest())


def test_the_rows_of_the_wanted_sessions_are_stored_and_returned(store: MemoryBars) -> None:
    rows = build_features(store, NYSE, instruments=WANTED, sessions=SESSIONS)
    assert list(rows.columns) == ["conid", "opened_at", *FEATURES]
    assert len(rows) == 2 * len(SESSIONS)
    assert not rows.isna().any(axis=None)
    pd.testing.assert_frame_equal(stored(store), rows)


def test_day_by_day_gives_the_same_bits_as_all_at_once(store: MemoryBars) -> None:
    whole = build_features(store, NYSE, instruments=WANTED, sessions=SESSIONS)
    days = [build_features(store, NYSE, instruments=WANTED, sessions=[session]) for session in SESSIONS]
    apart = pd.concat(days).sort_values(["conid", "opened_at"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(apart, whole, check_exact=True)


def test_bars_in_quarantine_are_not_computed_on(store: MemoryBars) -> None:
    bar = store.load_bars([CONIDS["IBM"]], BarSize.DAY, SESSIONS[-2].opens_at, SESSIONS[-2].closes_at)
    store.save_verdicts(BarSize.DAY, bar.head(0), bar.assign(reason="too_big_jump"))
    rows = build_features(store, NYSE, instruments=WANTED, sessions=SESSIONS[-2:])
    of_ibm = rows[rows["conid"] == CONIDS["IBM"]]
    assert of_ibm["opened_at"].tolist() == [SESSIONS[-1].opens_at]
    closes = real_bars("IBM", end=date(2012, 11, 23))["close"].to_numpy()
    assert of_ibm["sma_10"].iloc[0] == pytest.approx(np.mean([*closes[-11:-2], closes[-1]]), rel=1e-12)


def test_without_validated_bars_there_are_no_features() -> None:
    empty = MemoryBars()
    empty.save_instruments(WANTED)
    assert build_features(empty, NYSE, instruments=WANTED, sessions=SESSIONS).empty


def test_nothing_to_compute_is_refused(store: MemoryBars) -> None:
    with pytest.raises(InputError, match="sessions"):
        build_features(store, NYSE, instruments=WANTED, sessions=[])
    with pytest.raises(InputError, match="instruments"):
        build_features(store, NYSE, instruments=[], sessions=SESSIONS)

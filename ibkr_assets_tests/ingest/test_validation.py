"""Stored bars get their verdicts, the warm-up's included, and the same again when asked again."""

from datetime import UTC, date, datetime

import pandas as pd
import pytest

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.ingest.validation import ValidationReport, validate_sessions
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.fakes.bars import MemoryBars
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars

NYSE = exchange_calendar("XNYS")
EVENING = datetime(2012, 12, 31, 22, tzinfo=UTC)


def store_of(bars: pd.DataFrame) -> MemoryBars:
    store = MemoryBars()
    store.save_instruments([INSTRUMENTS[symbol] for symbol in bars["symbol"].unique()])
    store.save_bars(bars, BarSize.DAY, source="tape", known_from=EVENING)
    return store


def validate(store: MemoryBars, *days: date) -> ValidationReport:
    return validate_sessions(store, NYSE, instruments=store.instruments(), sessions=[NYSE.session(day) for day in days])


def validated(store: MemoryBars) -> pd.DataFrame:
    conids = list(CONIDS.values())
    return store.load_bars(conids, BarSize.DAY, datetime(2000, 1, 1, tzinfo=UTC), EVENING, is_validated=True)


def test_the_wanted_session_is_reported_and_its_warm_up_is_judged_with_it() -> None:
    store = store_of(real_bars("IBM", "MSFT", start=date(2012, 6, 1), end=date(2012, 11, 21)))
    report = validate(store, date(2012, 11, 21))
    assert report.accepted["symbol"].tolist() == ["IBM", "MSFT"]
    assert {"version", "row_sha"} <= set(report.accepted.columns)
    assert report.quarantined.empty
    assert report.missing == []
    assert (
        report.warm_up_accepted
        == len(validated(store)) - 2
        == 2 * len(NYSE.sessions(date(2012, 6, 1), date(2012, 11, 20)))
    )


def test_the_second_time_only_the_wanted_session_is_judged() -> None:
    store = store_of(real_bars("IBM", start=date(2012, 6, 1), end=date(2012, 11, 23)))
    validate(store, date(2012, 11, 21))
    report = validate(store, date(2012, 11, 23))
    assert len(report.accepted) == 1
    assert (report.warm_up_accepted, report.warm_up_quarantined) == (0, 0)
    again = validate(store, date(2012, 11, 23))
    pd.testing.assert_frame_equal(again.accepted, report.accepted)


def test_later_bars_than_the_wanted_session_stay_without_verdict() -> None:
    store = store_of(real_bars("IBM", start=date(2012, 11, 1), end=date(2012, 12, 31)))
    validate(store, date(2012, 11, 21))
    assert validated(store)["opened_at"].max() == NYSE.session(date(2012, 11, 21)).opens_at


def test_a_broken_bar_goes_to_quarantine_and_out_of_the_validated_ones() -> None:
    bars = real_bars("IBM", start=date(2012, 11, 1), end=date(2012, 11, 23))
    bars.loc[bars.index[-1], "high"] = 1.0
    bars.loc[3, "volume"] = -1.0
    store = store_of(bars)
    report = validate(store, date(2012, 11, 23))
    assert report.accepted.empty
    assert report.quarantined["reason"].tolist() == ["ohlc_order"]
    assert report.warm_up_quarantined == 1
    assert len(validated(store)) == len(bars) - 2
    assert report.missing == []


def test_a_session_without_bar_is_missing_only_where_it_was_wanted() -> None:
    bars = real_bars("IBM", start=date(2012, 11, 1), end=date(2012, 11, 23)).drop(index=[3, 15]).reset_index(drop=True)
    report = validate(store_of(bars), date(2012, 11, 21), date(2012, 11, 23))
    assert report.missing == [("IBM", date(2012, 11, 23))]


def test_every_day_by_itself_gets_the_verdicts_of_one_run_over_all_days() -> None:
    bars = real_bars("AAPL", "MSFT", start=date(2004, 9, 1), end=date(2005, 4, 29))
    days = [s.day for s in NYSE.sessions(date(2005, 2, 1), date(2005, 3, 31))]
    whole, daily = store_of(bars), store_of(bars)
    together = validate(whole, *days)
    apart = [validate(daily, day) for day in days]
    assert together.quarantined["reason"].tolist() == ["split_suspect"]
    assert sum(len(r.quarantined) for r in apart) == 1
    pd.testing.assert_frame_equal(validated(whole), validated(daily))


def test_a_long_history_is_judged_to_its_first_bar() -> None:
    store = store_of(real_bars("IBM", start=date(2010, 1, 4), end=date(2012, 11, 21)))
    validate(store, date(2012, 11, 21))
    assert len(validated(store)) == len(NYSE.sessions(date(2010, 1, 4), date(2012, 11, 21)))


def test_nothing_to_judge_is_refused() -> None:
    store = store_of(real_bars("IBM", start=date(2012, 11, 1), end=date(2012, 11, 23)))
    with pytest.raises(InputError, match="sessions"):
        validate(store)
    with pytest.raises(InputError, match="instruments"):
        validate_sessions(store, NYSE, instruments=[], sessions=[NYSE.session(date(2012, 11, 21))])

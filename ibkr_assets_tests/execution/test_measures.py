"""Measures of exactly the signal's bar, from a real store; whatever is missing holds its signal back by name."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pandas as pd
import pytest

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.execution.measures import split_by_measures
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS
from ibkr_assets_tests.portfolio.wishes import NYSE, SESSION, Direction, signal

NAN = float("nan")
BEFORE, AFTER = NYSE.session(date(2012, 11, 20)), NYSE.session(date(2012, 11, 23))


@pytest.fixture
def store(database):
    """IBM with other values before, after, and under another digest; MSFT without a range; AAPL only the day before."""
    made = PostgresBars(database)
    made.save_instruments(list(INSTRUMENTS.values()))

    def save(digest, *rows):
        columns = ["conid", "opened_at", "volatility_20", "atr_14"]
        frame = pd.DataFrame([(CONIDS[s], day.opens_at, *values) for s, day, *values in rows], columns=columns)
        frame["opened_at"] = pd.to_datetime(frame["opened_at"], utc=True)
        made.save_features(frame, BarSize.DAY, feature_digest=digest)

    save("other", ("IBM", SESSION, 0.9, 90.0))
    save(
        "f",
        ("IBM", BEFORE, 0.5, 50.0), ("IBM", SESSION, 0.0123456789, 3.1), ("IBM", AFTER, 0.7, 70.0),
        ("MSFT", BEFORE, 0.02, 1.0), ("MSFT", SESSION, 0.02, NAN), ("AAPL", BEFORE, 0.03, 9.0),
    )  # fmt: skip
    return made


def test_measures_are_those_of_the_signals_own_bar_and_digest(store) -> None:
    wish = signal()
    assert split_by_measures([wish], "atr:1@2", store, SESSION) == ({wish: {"atr_14": Decimal("3.1")}}, [])
    measured, _ = split_by_measures([wish], "volatility:10", store, SESSION)
    assert measured == {wish: {"volatility_20": Decimal("0.0123456789")}}


def test_what_is_missing_holds_its_own_signal_back_with_symbol_and_field(store) -> None:
    wishes = [signal(symbol=symbol) for symbol in ("IBM", "MSFT", "AAPL", "GOOG")]
    measured, refused = split_by_measures(wishes, "atr:1@2", store, SESSION)
    assert list(measured) == wishes[:1]
    assert [(wish.symbol, why) for wish, why in refused] == [
        ("MSFT", "atr_14 of MSFT at 2012-11-21: must be a positive number, got NaN"),
        ("AAPL", "atr_14 of AAPL at 2012-11-21: must be a positive number, there is none"),
        ("GOOG", "atr_14 of GOOG at 2012-11-21: must be a positive number, there is none"),
    ]


def test_what_goes_flat_needs_no_measure(store) -> None:
    wish = signal(Direction.FLAT, symbol="GOOG")
    assert split_by_measures([wish], "atr:1@2", store, SESSION) == ({wish: {}}, [])


def test_a_sizing_without_measures_reads_none_and_a_bad_one_is_refused() -> None:
    wish = signal()
    assert split_by_measures([wish], "percent:5", None, SESSION) == ({wish: {}}, [])
    with pytest.raises(ConfigurationError, match="sizing"):
        split_by_measures([wish], "lots", None, SESSION)

"""Signals at the end of real sessions: what is read, what is named, and when there is none."""

import hashlib
from datetime import date
from decimal import Decimal

import pandas as pd
import pytest

from ibkr_assets.domain.errors import DataError
from ibkr_assets.domain.signal import Direction
from ibkr_assets.features.compute import compute_features
from ibkr_assets.features.definition import feature_digest
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.strategies.by_bar import ByBar
from ibkr_assets.strategies.decide import Decisions, decide_signals
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets.strategies.strategy import Opinion, Strategy
from ibkr_assets_tests.fakes.tape import INSTRUMENTS, real_bars

NYSE = exchange_calendar("XNYS")
DAY = date(2012, 11, 23)
SMA = build_strategy("sma_cross", {"fast": 5, "slow": 20})


class RsiAbove(ByBar):
    """Long where a feature is above 50: a strategy that reads a feature."""

    warm_up_bars = 1
    features = ("rsi_14",)

    def decide(self, history: pd.DataFrame) -> Opinion | None:
        is_high = history["rsi_14"].iloc[-1] > 50
        return Opinion(Direction.LONG if is_high else Direction.FLAT, 0.5, "rsi")


def stored_bars(*symbols: str, start: date = date(2012, 9, 4), end: date = date(2012, 12, 31)) -> pd.DataFrame:
    bars = real_bars(*symbols, start=start, end=end).assign(version=1)
    keys = zip(bars["conid"], bars["opened_at"], strict=True)
    return bars.assign(row_sha=[hashlib.sha256(repr(key).encode()).hexdigest() for key in keys])


def decide(
    bars: pd.DataFrame, *symbols: str, day: date = DAY, strategy: Strategy = SMA, features: pd.DataFrame | None = None
) -> Decisions:
    if features is None:
        features = compute_features(bars)
    return decide_signals(
        "sma", 3, strategy, bars=bars, features=features, session=NYSE.session(day),
        instruments=[INSTRUMENTS[s] for s in symbols],
    )  # fmt: skip


def test_a_signal_carries_what_it_was_decided_on() -> None:
    bars = stored_bars("IBM")
    (signal,) = decide(bars, "IBM").signals
    shown = bars[bars["opened_at"].dt.date <= DAY].tail(20)
    proof = "\n".join(f"8314|{bar.opened_at.isoformat()}|1|{bar.row_sha}" for bar in shown.itertuples())
    assert signal.input_digest == hashlib.sha256(proof.encode()).hexdigest()
    assert signal.feature_digest == feature_digest()
    assert signal.as_of == NYSE.session(DAY).closes_at
    assert (signal.strategy_id, signal.strategy_version, signal.conid, signal.symbol) == ("sma", 3, 8314, "IBM")
    assert signal.session_date == DAY
    assert signal.reference_price == Decimal("193.49")
    mean_5, mean_20 = shown["close"].tail(5).mean(), shown["close"].mean()
    assert signal.direction is (Direction.LONG if mean_5 > mean_20 else Direction.FLAT)


def test_signals_come_in_the_order_of_the_instruments_and_iterate() -> None:
    decisions = decide(stored_bars("IBM", "AAPL", "MSFT"), "MSFT", "AAPL", "IBM")
    assert [s.symbol for s in decisions] == ["MSFT", "AAPL", "IBM"]
    assert len(decisions) == 3
    assert decisions.skipped == ()


@pytest.mark.parametrize("day", [date(2012, 10, 31), date(2012, 11, 23), date(2012, 12, 24)])
def test_truncated_and_full_data_give_the_same_signals(day: date) -> None:
    bars = stored_bars("IBM", "AAPL")
    until = bars[bars["opened_at"] <= NYSE.session(day).opens_at].reset_index(drop=True)
    assert decide(bars, "IBM", "AAPL", day=day) == decide(until, "IBM", "AAPL", day=day)


def test_more_history_than_needed_changes_nothing() -> None:
    long, short = stored_bars("IBM", start=date(2010, 1, 4)), stored_bars("IBM", start=date(2012, 10, 15))
    assert decide(long, "IBM") == decide(short, "IBM")


def test_another_version_of_a_bar_that_was_read_is_another_input() -> None:
    bars = stored_bars("IBM")
    changed = bars.copy()
    row = changed.index[changed["opened_at"] == NYSE.session(date(2012, 11, 15)).opens_at][0]
    changed.loc[row, "version"] = 2
    before, after = decide(bars, "IBM").signals[0], decide(changed, "IBM").signals[0]
    assert before.input_digest != after.input_digest
    outside = bars.copy()
    outside.loc[0, "version"] = 2
    assert decide(outside, "IBM").signals[0].input_digest == before.input_digest


def test_without_the_sessions_own_bar_there_is_no_signal_and_never_an_older_one() -> None:
    bars = stored_bars("IBM", "MSFT")
    is_gone = (bars["symbol"] == "IBM") & (bars["opened_at"] == NYSE.session(DAY).opens_at)
    decisions = decide(bars[~is_gone].reset_index(drop=True), "IBM", "MSFT", "AAPL")
    assert [s.symbol for s in decisions.signals] == ["MSFT"]
    assert [(s.symbol, s.reason) for s in decisions.skipped] == [
        ("IBM", "no validated bar of session 2012-11-23"),
        ("AAPL", "no validated bar of session 2012-11-23"),
    ]


def test_too_few_bars_give_no_flat_signal() -> None:
    decisions = decide(stored_bars("IBM", start=date(2012, 11, 12)), "IBM")
    assert decisions.signals == ()
    assert decisions.skipped[0].reason == "9 validated bars, 20 are needed"


def test_a_strategy_gets_the_features_it_names() -> None:
    bars = stored_bars("IBM")
    features = compute_features(bars)
    (signal,) = decide(bars, "IBM", strategy=RsiAbove(), features=features).signals
    rsi = features.loc[features["opened_at"] == NYSE.session(DAY).opens_at, "rsi_14"].iloc[0]
    assert signal.direction is (Direction.LONG if rsi > 50 else Direction.FLAT)
    assert signal.strength == 0.5


def test_a_feature_without_value_gives_no_signal() -> None:
    bars = stored_bars("IBM", start=date(2012, 11, 12))
    decisions = decide(bars, "IBM", strategy=RsiAbove())
    assert decisions.skipped[0].reason == "no value of rsi_14 at session 2012-11-23"
    none = decide(bars, "IBM", strategy=RsiAbove(), features=compute_features(bars).head(0))
    assert none.signals == ()


@pytest.mark.parametrize("column", ["close", "version", "row_sha", "opened_at"])
def test_a_missing_column_is_named(column: str) -> None:
    bars = stored_bars("IBM")
    with pytest.raises(DataError, match=column):
        decide(bars.drop(columns=column), "IBM", features=compute_features(bars))
    with pytest.raises(DataError, match="rsi_14"):
        decide(bars, "IBM", strategy=RsiAbove(), features=compute_features(bars).drop(columns="rsi_14"))


def test_bars_out_of_order_are_refused() -> None:
    bars = stored_bars("IBM")
    with pytest.raises(DataError, match="not after"):
        decide(bars.iloc[::-1], "IBM", features=compute_features(bars))


@pytest.mark.parametrize(("day", "price"), [(date(2012, 10, 24), "23.2299"), (date(2012, 11, 14), "22.36")])
def test_a_reference_price_is_the_close_to_its_last_digit(day: date, price: str) -> None:
    (signal,) = decide(stored_bars("FB"), "FB", day=day).signals
    assert signal.reference_price == Decimal(price)

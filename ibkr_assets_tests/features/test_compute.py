"""Features against the textbook's recurrences, a published example, and what must hold for any prices."""

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.domain.errors import DataError
from ibkr_assets.features.compute import Since, compute_features, compute_from
from ibkr_assets.features.definition import DEFINITIONS, FEATURES, WARM_UP_BARS
from ibkr_assets.features.windows import PIECE
from ibkr_assets_tests.fakes.tape import CONIDS, real_bars
from ibkr_assets_tests.features import recurrences


def frame_of(close: list[float], *, spread: float = 0.01, conid: int = 1) -> pd.DataFrame:
    opened_at = pd.date_range("2012-01-02 14:30", periods=len(close), freq="D", tz="UTC")
    prices = np.array(close, dtype="float64")
    return pd.DataFrame(
        {
            "conid": np.full(len(close), conid, dtype="int64"), "symbol": "X", "opened_at": opened_at,
            "open": prices, "high": prices * (1 + spread), "low": prices * (1 - spread), "close": prices,
            "volume": 1000.0,
        }
    )  # fmt: skip


PRICES = st.lists(st.floats(0.5, 5000.0, allow_nan=False), min_size=0, max_size=90)


def test_every_feature_of_the_tape_equals_its_textbook_recurrence() -> None:
    bars = real_bars("IBM", "FB", start=date(2012, 1, 3))
    computed = compute_features(bars)
    for conid, own in bars.groupby("conid"):
        expected = recurrences.feature_set(*(own[name].tolist() for name in ("high", "low", "close")))
        assert set(expected) == set(FEATURES)
        got = computed[computed["conid"] == conid]
        for name, values in expected.items():
            wanted = np.array([math.nan if v is None else v for v in values])
            np.testing.assert_allclose(got[name].to_numpy(), wanted, rtol=1e-9, atol=1e-9, err_msg=name)


def test_every_feature_that_ta_lib_has_equals_its_value() -> None:
    bars = real_bars("AAPL")
    high, low, close = (bars[name].to_numpy() for name in ("high", "low", "close"))
    macd, upper = talib.MACD(close, 12, 26, 9), talib.BBANDS(close, 20, 2.0, 2.0)
    expected = {
        "sma_10": talib.SMA(close, 10), "sma_20": talib.SMA(close, 20), "sma_50": talib.SMA(close, 50),
        "ema_12": talib.EMA(close, 12), "ema_26": talib.EMA(close, 26), "rsi_14": talib.RSI(close, 14),
        "macd": macd[0], "macd_signal": macd[1], "macd_hist": macd[2],
        "bb_upper": upper[0], "bb_middle": upper[1], "bb_lower": upper[2], "atr_14": talib.ATR(high, low, close, 14),
        "return_1": talib.ROCP(close, 1), "log_return_1": talib.LN(talib.ROCR(close, 1)),
    }  # fmt: skip
    got = compute_features(bars)
    for name, values in expected.items():
        np.testing.assert_allclose(got[name].to_numpy(), values, rtol=1e-9, atol=1e-9, err_msg=name)


@given(st.integers(WARM_UP_BARS, 3 * PIECE), st.integers(1, PIECE + 2), st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_going_on_from_any_bar_gives_the_bits_of_a_computation_from_the_first(at: int, new: int, more: int) -> None:
    bars = real_bars("MSFT").head(at + 1 + new)
    known = compute_from(bars.head(at + 1), {}).averages[CONIDS["MSFT"]]
    first = max(0, at - WARM_UP_BARS - more)
    got = compute_from(bars.iloc[first:], {CONIDS["MSFT"]: Since(at - first, known)})
    whole = compute_from(bars, {})
    rows = got.features.iloc[at - first + 1 :].reset_index(drop=True)
    expected = whole.features.iloc[at + 1 :].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, expected, check_exact=True)
    assert got.averages == whole.averages


def test_a_state_with_too_little_before_it_is_refused() -> None:
    bars = real_bars("MSFT").head(80)
    known = compute_from(bars.head(WARM_UP_BARS), {}).averages[CONIDS["MSFT"]]
    with pytest.raises(DataError, match=f"{WARM_UP_BARS - 1} bars before a known state"):
        compute_from(bars, {CONIDS["MSFT"]: Since(WARM_UP_BARS - 1, known)})


def test_the_published_rsi_example_comes_out() -> None:
    """The worked table of ChartSchool's article on RSI (14 periods), printed there to two decimals."""
    close = [
        44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931, 46.0328,
        45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439, 46.2122, 46.2521, 45.7137, 46.4515,
        45.7835, 45.3548, 44.0288, 44.1783, 44.2181, 44.5672, 43.4205, 42.6628, 43.1314,
    ]  # fmt: skip
    published = [
        70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93, 63.26, 56.06, 62.38, 54.71, 50.42, 39.99, 41.46, 41.87,
        45.46, 37.30, 33.08, 37.77,
    ]  # fmt: skip
    got = compute_features(frame_of(close))["rsi_14"].dropna().round(2).tolist()
    assert got == published


def test_the_columns_are_the_key_and_the_named_features() -> None:
    bars = real_bars("IBM", start=date(2013, 1, 2))
    computed = compute_features(bars)
    assert list(computed.columns) == ["conid", "opened_at", *FEATURES]
    assert all(computed[name].dtype == "float64" for name in FEATURES)
    pd.testing.assert_frame_equal(computed[["conid", "opened_at"]], bars[["conid", "opened_at"]])


def test_nan_stands_in_the_warm_up_and_nowhere_else() -> None:
    computed = compute_features(real_bars("AAPL", "MSFT"))
    for conid in (CONIDS["AAPL"], CONIDS["MSFT"]):
        own = computed[computed["conid"] == conid]
        for definition in DEFINITIONS:
            is_nan = own[definition.name].isna().to_numpy()
            assert is_nan[: definition.warm_up].all(), definition.name
            assert not is_nan[definition.warm_up :].any(), definition.name


def test_the_longest_warm_up_is_that_of_the_longest_average() -> None:
    assert WARM_UP_BARS == 49


def test_instruments_do_not_touch_each_other() -> None:
    both = compute_features(real_bars("AAPL", "IBM", start=date(2012, 9, 3)))
    alone = compute_features(real_bars("AAPL", start=date(2012, 9, 3)))
    got = both[both["conid"] == CONIDS["AAPL"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(got, alone, check_exact=True)


def test_an_empty_frame_gives_an_empty_frame_with_all_columns() -> None:
    computed = compute_features(real_bars("IBM").head(0))
    assert computed.empty
    assert list(computed.columns) == ["conid", "opened_at", *FEATURES]


@given(PRICES, st.integers(0, 90))
@settings(max_examples=150, deadline=None)
def test_a_feature_is_the_same_bit_for_bit_whatever_follows(close: list[float], cut: int) -> None:
    cut = min(cut, len(close))
    whole = compute_features(frame_of(close)).head(cut)
    truncated = compute_features(frame_of(close[:cut]))
    pd.testing.assert_frame_equal(truncated, whole, check_exact=True)


@pytest.mark.parametrize("length", [1, 9, 34, 50, 51, 200, 777, 1023])
def test_truncating_the_real_tape_changes_no_bit(length: int) -> None:
    bars = real_bars("MSFT")
    whole = compute_features(bars).head(length)
    pd.testing.assert_frame_equal(compute_features(bars.head(length)), whole, check_exact=True)


@given(PRICES)
@settings(max_examples=100, deadline=None)
def test_features_stay_within_what_they_mean(close: list[float]) -> None:
    computed = compute_features(frame_of(close)).dropna()
    assert computed["rsi_14"].between(0, 100).all()
    assert (computed["bb_upper"] >= computed["bb_lower"]).all()
    assert (computed["atr_14"] > 0).all()
    assert (computed["volatility_20"] >= 0).all()


def test_a_price_that_never_moves_has_no_returns_no_volatility_and_flat_averages() -> None:
    last = compute_features(frame_of([25.0] * 80, spread=0.0)).iloc[-1]
    for name in ("return_1", "log_return_1", "volatility_20", "atr_14", "macd", "macd_signal", "macd_hist"):
        assert last[name] == pytest.approx(0.0, abs=1e-12), name
    for name in ("sma_10", "sma_50", "ema_26", "bb_upper", "bb_lower"):
        assert last[name] == pytest.approx(25.0), name


@pytest.mark.parametrize("column", ["high", "low", "close", "conid", "opened_at"])
def test_a_missing_column_is_named(column: str) -> None:
    with pytest.raises(DataError, match=f"'{column}': missing"):
        compute_features(real_bars("IBM", start=date(2013, 1, 2)).drop(columns=column))


@pytest.mark.parametrize("column", ["high", "low", "close"])
def test_a_column_of_text_is_named(column: str) -> None:
    bars = real_bars("IBM", start=date(2013, 1, 2))
    with pytest.raises(DataError, match=f"'{column}': must be numeric, got object"):
        compute_features(bars.assign(**{column: bars[column].astype(str)}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_hole_in_the_prices_is_refused_with_its_place(value: float) -> None:
    bars = real_bars("IBM", start=date(2013, 1, 2))
    bars.loc[7, "close"] = value
    with pytest.raises(DataError, match=f"'close': {value} at conid 8314"):
        compute_features(bars)


def test_a_price_of_zero_has_no_return_and_is_refused_by_feature() -> None:
    with pytest.raises(DataError, match="'return_1'"):
        compute_features(frame_of([1.0, 0.0, 1.0, 1.0]))


def test_bars_out_of_order_repeated_or_scattered_are_refused() -> None:
    bars = real_bars("IBM", "AAPL", start=date(2013, 1, 2))
    with pytest.raises(DataError, match="not after the bar before it"):
        compute_features(bars.iloc[[1, 0, 2]])
    with pytest.raises(DataError, match="not after the bar before it"):
        compute_features(bars.iloc[[0, 0, 1]])
    with pytest.raises(DataError, match="do not stand together"):
        compute_features(bars.iloc[[0, len(bars) - 1, 1]])


def test_a_time_without_zone_is_refused() -> None:
    bars = real_bars("IBM", start=date(2013, 1, 2))
    with pytest.raises(DataError, match="'opened_at': must be aware"):
        compute_features(bars.assign(opened_at=bars["opened_at"].dt.tz_localize(None)))

"""A chart is a picture of its data: the same for the same, with a mark for every change of direction."""

import io
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from ibkr_assets.domain.errors import DataError
from ibkr_assets.domain.signal import Direction, Signal
from ibkr_assets.features.chart import draw_chart
from ibkr_assets.features.compute import compute_features
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.fakes.tape import CONIDS, real_bars

NYSE = exchange_calendar("XNYS")
GREEN, RED = (0x3E, 0xCF, 0x8E), (0xF2, 0x6D, 0x6D)
BARS = real_bars(start=date(2012, 6, 1), end=date(2012, 11, 23))
FEATURES = compute_features(BARS)


def signal(day: date, direction: Direction, symbol: str = "IBM") -> Signal:
    return Signal(
        strategy_id="sma", strategy_version=1, conid=CONIDS[symbol], symbol=symbol, session_date=day,
        as_of=NYSE.session(day).closes_at, direction=direction, strength=1.0, reference_price=Decimal(1),
        feature_digest="f", input_digest="i", reason="",
    )  # fmt: skip


def pixels(png: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return np.rint(imread(io.BytesIO(png), format="png")[:, :, :3] * 255).astype(int)


def count(png: bytes, color: tuple[int, int, int]) -> int:
    return int((abs(pixels(png) - np.array(color)).sum(axis=2) < 6).sum())


def of(symbol: str, frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["conid"] == CONIDS[symbol]]


def test_the_same_data_gives_the_same_bytes_on_every_thread() -> None:
    wishes = [signal(date(2012, 11, 21), Direction.LONG)]
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: draw_chart(BARS, FEATURES, wishes), range(2))
    assert one == other
    assert one.startswith(b"\x89PNG\r\n\x1a\n")
    assert b"Software" not in one


def test_a_change_of_direction_is_marked_in_its_color_and_no_change_is_not() -> None:
    bars, features = of("IBM", BARS), of("IBM", FEATURES)
    bare = draw_chart(bars, features, [])
    first = signal(date(2012, 11, 5), Direction.LONG)
    marked = draw_chart(bars, features, [first])
    again = draw_chart(bars, features, [first, signal(date(2012, 11, 13), Direction.LONG)])
    turned = draw_chart(bars, features, [first, signal(date(2012, 11, 13), Direction.SHORT)])
    assert count(marked, GREEN) > count(bare, GREEN)
    assert again == marked
    assert count(turned, RED) > count(marked, RED)


def test_signals_of_other_instruments_and_of_earlier_sessions_are_not_drawn() -> None:
    bars, features = of("IBM", BARS), of("IBM", FEATURES)
    bare = draw_chart(bars, features, [], sessions=20)
    others = [signal(date(2012, 11, 21), Direction.LONG, "MSFT"), signal(date(2012, 6, 5), Direction.LONG)]
    assert draw_chart(bars, features, others, sessions=20) == bare


def test_a_panel_more_makes_a_larger_picture() -> None:
    one = pixels(draw_chart(of("IBM", BARS), of("IBM", FEATURES), []))
    five = pixels(draw_chart(BARS, FEATURES, []))
    assert five.shape[0] > 2 * one.shape[0]
    assert five.shape[1] > one.shape[1]


def test_more_than_six_instruments_are_cut_to_six_panels() -> None:
    many = pd.concat([of("IBM", BARS).assign(conid=n, symbol=f"S{n}") for n in range(8)], ignore_index=True)
    six = pixels(draw_chart(many[many["conid"] < 6], FEATURES.head(0), []))
    assert pixels(draw_chart(many, FEATURES.head(0), [])).shape == six.shape


@pytest.mark.parametrize("names", [[], ["sma_10"], ["sma_50", "bb_upper"]])
def test_features_that_are_not_there_are_not_drawn(names: list[str]) -> None:
    features = of("IBM", FEATURES)[["conid", "opened_at", *names]]
    assert draw_chart(of("IBM", BARS), features, [])


def test_no_bars_are_a_picture_that_says_so() -> None:
    assert draw_chart(BARS.head(0), FEATURES.head(0), []).startswith(b"\x89PNG")


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match=r"bars: columns .*close"):
        draw_chart(BARS.drop(columns="close"), FEATURES, [])
    with pytest.raises(DataError, match=r"features: columns .*opened_at"):
        draw_chart(BARS, FEATURES.drop(columns="opened_at"), [])

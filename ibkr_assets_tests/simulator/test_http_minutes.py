"""A gateway on minute bars, over the wire: charts of every length, quotes that move with the minute, fills in between.

Expected bars are made by pandas from the same minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, Api, connect

#: Three whole sessions, and a part of a fourth.
DAYS = ("2024-06-03", "2024-06-04", "2024-06-05", "2024-06-06")
NOW = "2024-06-06T10:47:20-04:00"


@pytest.fixture(scope="module")
def minutes() -> pd.DataFrame:
    chance = np.random.default_rng(5)
    stamps = pd.DatetimeIndex([]).tz_localize("America/New_York")
    for day in DAYS:
        stamps = stamps.append(pd.date_range(f"{day} 09:00", f"{day} 16:29", freq="min", tz="America/New_York"))
    close = np.round(190 + np.cumsum(chance.normal(0, 0.03, len(stamps))), 2)
    opened = np.round(close + chance.normal(0, 0.02, len(stamps)), 2)
    return pd.DataFrame(
        {
            "open": opened, "high": np.maximum(opened, close) + 0.05, "low": np.minimum(opened, close) - 0.05,
            "close": close, "volume": chance.integers(1_000, 50_000, len(stamps)),
        },
        index=stamps,
    ).round(2)  # fmt: skip


@pytest.fixture(scope="module")
def gateway(minutes: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    tape = tmp_path_factory.mktemp("tape")
    (tape / "minutes").mkdir()
    minutes.rename_axis("opened_at").reset_index().to_parquet(tape / "minutes" / "AAPL.parquet")
    with start_gateway(tape=tape, clock_start=NOW) as running:
        yield running


@pytest.fixture
def api(gateway: RunningGateway) -> Iterator[Api]:
    with connect(gateway) as client:
        yield client


def chart(api: Api, **query: str | int) -> dict[str, Any]:
    answer = api.get("/iserver/marketdata/history", **{"conid": AAPL, **query})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def rows(answer: dict[str, Any]) -> list[tuple[int, float, float, float, float, float]]:
    factor = answer["volumeFactor"]
    return [(b["t"], b["o"], b["h"], b["l"], b["c"], round(b["v"] * factor)) for b in answer["data"]]


def expected(minutes: pd.DataFrame, bar: str) -> list[tuple[int, float, float, float, float, float]]:
    """Regular hours of the whole sessions, in bars on New York's clock; the first of a day is stamped with its open."""
    regular = minutes.between_time("09:30", "15:59")
    past = regular[regular.index < pd.Timestamp(DAYS[3], tz="America/New_York")]
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    made = past.groupby(past.index.floor(bar), group_keys=True).agg(how)
    first = {stamp: past.index[past.index.floor(bar) == stamp][0] for stamp in made.index}
    return [
        (int(first[s].timestamp() * 1000), r.open, r.high, r.low, r.close, int(r.volume))
        for s, r in zip(made.index, made.itertuples(), strict=True)
    ]


@pytest.mark.parametrize(
    ("bar", "freq"),
    [("1min", "1min"), ("5min", "5min"), ("15min", "15min"), ("30min", "30min"), ("1h", "1h"), ("2h", "2h"),
     ("4h", "4h"), ("8h", "8h")],
)  # fmt: skip
def test_minutes_make_longer_bars(api: Api, minutes: pd.DataFrame, bar: str, freq: str) -> None:
    answer = chart(api, period="2d", bar=bar, startTime="20240605-20:00:00")
    whole = [
        row for row in expected(minutes, freq) if row[0] >= pd.Timestamp(DAYS[1], tz="America/New_York").value / 1e6
    ]
    assert rows(answer) == whole
    assert answer["points"] == len(whole) - 1


def test_the_newest_bar_is_forming_and_shows_what_is_over(api: Api, minutes: pd.DataFrame) -> None:
    newest = rows(chart(api, period="1h", bar="5min"))[-1]
    over = minutes.loc["2024-06-06 10:45":"2024-06-06 10:46"]  # type: ignore[misc]
    now = minutes.loc[pd.Timestamp("2024-06-06 10:47", tz="America/New_York")]
    assert newest == (
        int(pd.Timestamp("2024-06-06 10:45", tz="America/New_York").timestamp() * 1000), over.open.iloc[0],
        max(over.high.max(), now.open), min(over.low.min(), now.open), now.open, over.volume.sum(),
    )  # fmt: skip
    minute = rows(chart(api, period="5min", bar="1min"))
    assert len(minute) == 5
    assert minute[-1][1:] == (now.open, now.open, now.open, now.open, 0)


def test_a_day_so_far_is_made_of_its_minutes(api: Api, minutes: pd.DataFrame) -> None:
    today = rows(chart(api, period="2d", bar="1d"))[-1]
    over = minutes.loc["2024-06-06 09:30":"2024-06-06 10:46"]  # type: ignore[misc]
    assert (today[1], today[2], today[3], today[5]) == (
        over.open.iloc[0], over.high.max(), over.low.min(), over.volume.sum(),
    )  # fmt: skip


def test_hours_around_the_session_are_told_when_asked_for(api: Api, minutes: pd.DataFrame) -> None:
    answer = chart(api, period="1d", bar="1min", startTime="20240605-23:00:00", outsideRth="true")
    assert (len(answer["data"]), answer["outsideRth"]) == (450, True)
    assert answer["startTime"] == "20240605-13:00:00"
    day = rows(chart(api, period="1d", bar="1d", startTime="20240605-23:00:00", outsideRth="true"))[-1]
    all_day = minutes.loc["2024-06-05"]
    # With them a day's bar is stamped 04:00 in New York, 08:00 UTC in summer.
    assert day == (
        int(pd.Timestamp("2024-06-05 08:00", tz="UTC").timestamp() * 1000), all_day.open.iloc[0],
        all_day.high.max(), all_day.low.min(), all_day.close.iloc[-1], all_day.volume.sum(),
    )  # fmt: skip


def test_a_thousand_points_are_the_most_and_paging_back_meets_no_gap(api: Api, minutes: pd.DataFrame) -> None:
    newest = chart(api, period="5d", bar="1min")
    assert len(newest["data"]) == 1000
    stamp = pd.Timestamp(newest["data"][0]["t"], unit="ms").strftime("%Y%m%d-%H:%M:%S")
    older = chart(api, period="5d", bar="1min", startTime=stamp)
    assert older["data"][-1] == newest["data"][0]
    regular = minutes.between_time("09:30", "15:59")
    count = int((regular.index <= pd.Timestamp("2024-06-06 10:47", tz="America/New_York")).sum())
    assert len(older["data"]) + len(newest["data"]) - 1 == count


@pytest.mark.parametrize(
    ("period", "bar", "status"),
    [
        ("1min", "1min", 200), ("1min", "5min", 500), ("1h", "8h", 200), ("1d", "1min", 200), ("1d", "8h", 200),
        ("1w", "5min", 500), ("1w", "10min", 200), ("1m", "30min", 500), ("1m", "1h", 200), ("3m", "1h", 500),
        ("3m", "2h", 200), ("6m", "3h", 500), ("6m", "4h", 200), ("1y", "4h", 500), ("1y", "8h", 200),
        ("2y", "8h", 500), ("2y", "1d", 200), ("15y", "1d", 500), ("15y", "1w", 200),
    ],
)  # fmt: skip
def test_each_period_permits_its_bars(api: Api, period: str, bar: str, status: int) -> None:
    answer = api.get("/iserver/marketdata/history", conid=AAPL, period=period, bar=bar)
    assert answer.status_code == status
    if status != 200:
        assert answer.json() == {"error": "Chart data unavailable"}


def test_quotes_and_fills_move_with_the_minute(gateway: RunningGateway, api: Api, minutes: pd.DataFrame) -> None:
    """Last of the module: it moves the clock."""
    api.post("/iserver/questions/suppress", {"messageIds": ["o354", "o163"]})
    for _ in range(4):
        before = api.get("/iserver/marketdata/snapshot", conids=AAPL, fields="31,70,71").json()[0]
    now = minutes.loc[pd.Timestamp("2024-06-06 10:47", tz="America/New_York")]
    assert float(before["31"]) == now.open
    order_id = api.place_through(conid=AAPL, orderType="MKT", price=None, tif="DAY", quantity=3)
    gateway.step_clock(39.0)
    assert api.live_orders()[0]["status"] == "Submitted"
    gateway.step_clock(1.0)
    (trade,) = [t for t in api.trades() if t["order_id"] == int(order_id)]
    assert (float(trade["price"]), trade["trade_time"]) == (now.close, "20240606-14:48:00")
    following = minutes.loc[pd.Timestamp("2024-06-06 10:48", tz="America/New_York")]
    after = api.get("/iserver/marketdata/snapshot", conids=AAPL, fields="31,70,71").json()[0]
    assert float(after["31"]) == following.open

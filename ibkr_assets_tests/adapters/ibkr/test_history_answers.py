"""What an answer of IBKR's history says of itself: no JSON, another symbol, maybe cut, delayed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest

from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.errors import UnreadableAnswer
from ibkr_assets_tests.adapters.ibkr.raw_server import RawServer, http
from ibkr_assets_tests.adapters.ibkr.test_market_data import AAPL, HISTORY, XNYS, bar, clock, history, source

__all__ = ["clock", "source"]

START, END = datetime(2013, 1, 14, tzinfo=UTC), datetime(2013, 1, 15, 22, tzinfo=UTC)
TWO = [bar(s.opens_at, 500.0) for s in XNYS.sessions(date(2013, 1, 14), date(2013, 1, 15))]


def fetch(source: Any) -> pd.DataFrame:
    frame: pd.DataFrame = source.fetch_bars(AAPL, BarSize.DAY, START, END)
    return frame


@pytest.mark.parametrize(
    "body",
    [b'{"data":[{"t":1358173800000,"o":1', b"Service temporarily unavailable", b'{"data":[NaN],"volumeFactor":1}'],
)
def test_an_answer_that_is_no_json_is_one_row_with_its_text(server: RawServer, source: Any, body: bytes) -> None:
    server.replies[HISTORY] = http(body)
    frame = fetch(source)
    assert frame["reason"].tolist() == ["not_json"]
    assert frame["raw"][0]["answer"] == body.decode()
    assert (frame["conid"].tolist(), frame["symbol"].tolist()) == ([265598], ["AAPL"])
    assert frame["opened_at"].isna().all()


def test_an_account_in_a_text_that_is_kept_is_not_shown(server: RawServer, source: Any) -> None:
    server.replies[HISTORY] = http(b"no chart for DU1234567")
    assert fetch(source)["raw"][0]["answer"] == "no chart for <account>"


@pytest.mark.parametrize(
    "body", [b'{"bars":[]}', b"null", b"[]", b'{"data":null,"volumeFactor":1}', b'{"data":[],"volumeFactor":0}', b"7"]
)
def test_json_that_is_no_history_is_one_row_with_its_text_and_is_not_called_no_json(
    server: RawServer, source: Any, body: bytes
) -> None:
    server.replies[HISTORY] = http(body)
    frame = fetch(source)
    assert frame["reason"].tolist() == ["missing_field"]
    assert frame["raw"][0]["answer"] == body.decode()
    assert "history of AAPL" in frame["raw"][0]["error"]
    assert frame["opened_at"].isna().all()


@pytest.mark.parametrize("wrong", [None, "much", [], {}])
def test_a_bar_without_a_number_is_a_row_by_itself_and_the_others_are_bars(
    server: RawServer, source: Any, wrong: object
) -> None:
    server.replies[HISTORY] = history([TWO[0], {**TWO[1], "c": wrong}])
    frame = fetch(source)
    assert frame["reason"].tolist() == ["", "missing_field"]
    assert frame["opened_at"].tolist()[0] == XNYS.session(date(2013, 1, 14)).opens_at
    assert "data" not in frame["raw"][1]
    assert '"v"' in frame["raw"][1]["bar"]


def test_bars_of_another_length_are_refused(server: RawServer, source: Any) -> None:
    server.replies[HISTORY] = history(TWO, barLength=60)
    with pytest.raises(UnreadableAnswer, match="bars of 60 s, asked for 86400 s"):
        fetch(source)


def test_bars_under_another_symbol_are_rows_of_the_contract_that_was_asked_for(server: RawServer, source: Any) -> None:
    server.replies[HISTORY] = history(TWO, symbol="AAPL1")
    frame = fetch(source)
    assert frame["reason"].tolist() == ["symbol_mismatch"] * 2
    assert frame["conid"].tolist() == [265598] * 2
    assert frame["volume"].tolist() == [100.0] * 2
    assert frame["raw"][1] == {**TWO[1], "symbol": "AAPL1", "points": 2, "volumeFactor": 40.0}


@pytest.mark.parametrize(("count", "is_kept"), [(999, True), (1000, False), (1001, False)])
def test_an_answer_at_the_limit_of_points_may_have_been_cut(
    server: RawServer, source: Any, count: int, is_kept: bool
) -> None:
    sessions = XNYS.sessions(date(2005, 1, 3), date(2013, 1, 15))[-count:]
    server.replies[HISTORY] = history([bar(s.opens_at, 500.0) for s in sessions])
    frame = fetch(source)
    if is_kept:
        assert list(frame.columns) == list(BAR_COLUMNS)
        assert len(frame) == 2
    else:
        assert frame["reason"].tolist() == ["cut_at_1000"] * count


@pytest.mark.parametrize(
    ("changes", "availability", "delay_s"),
    [
        ({"mktDataDelay": 900, "mdAvailability": "D"}, "D", 900.0),
        ({"mktDataDelay": 0, "mdAvailability": "DPB"}, "DPB", None),
        ({"mktDataDelay": 600, "mdAvailability": "S"}, "S", 600.0),
        ({"mdAvailability": "N"}, "N", None),
        ({"mktDataDelay": 60, "mdAvailability": None}, "delayed", 60.0),
    ],
)
def test_a_delayed_or_unsubscribed_feed_marks_its_bars(
    server: RawServer, source: Any, changes: dict[str, Any], availability: str, delay_s: float | None
) -> None:
    server.replies[HISTORY] = history(TWO, **changes)
    frame = fetch(source)
    assert frame["availability"].tolist() == [availability] * 2
    assert [None if pd.isna(value) else value for value in frame["delay_s"]] == [delay_s] * 2
    assert "reason" not in frame.columns


@pytest.mark.parametrize("word", ["S", "RpB", "R"])
def test_a_feed_of_now_marks_nothing(server: RawServer, source: Any, word: str) -> None:
    server.replies[HISTORY] = history(TWO, mktDataDelay=0, mdAvailability=word)
    assert list(fetch(source).columns) == list(BAR_COLUMNS)


def test_a_page_that_cannot_be_used_leaves_the_bars_of_the_others(server: RawServer, source: Any) -> None:
    early = XNYS.session(date(2009, 1, 14))
    server.replies[HISTORY] = [http(b"oops"), history([bar(early.opens_at, 500.0)])]
    frame = source.fetch_bars(AAPL, BarSize.DAY, early.opens_at, END)
    assert frame["reason"].tolist() == ["", "not_json"]
    assert frame["opened_at"][0] == early.opens_at


def test_contracts_are_described_many_at_a_time(server: RawServer, source: Any) -> None:
    rows = [{"conid": 265598, "currency": "USD", "ticker": "AAPL"}, {"conid": 9, "currency": "EUR", "ticker": "X"}]
    server.replies["GET trsrv/secdef"] = http({"secdef": rows})
    assert source.describe([AAPL]) == {265598: ("AAPL", "USD")}
    assert source.describe([]) == {}
    assert server.count("GET trsrv/secdef") == 1

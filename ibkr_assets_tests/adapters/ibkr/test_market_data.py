"""Contracts, bars and quotes over real sockets, against a gateway's answers written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from ibkr_assets.adapters.ibkr import quotes
from ibkr_assets.adapters.ibkr.forms import moment
from ibkr_assets.adapters.ibkr.history import PERIODS
from ibkr_assets.adapters.ibkr.market_data import IbkrMarketData
from ibkr_assets.adapters.ibkr.pacing import Limiter
from ibkr_assets.adapters.ibkr.pacing_state import MemoryState
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.errors import BrokerRefusal, InputError, Unavailable, UnreadableAnswer
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.adapters.ibkr.raw_server import (
    ACCOUNTS,
    HandClock,
    RawServer,
    Request,
    by_request,
    hand_limiter,
    http,
)

XNYS = exchange_calendar("XNYS")
AAPL = Instrument(265598, "AAPL", "NASDAQ")
HISTORY = "GET iserver/marketdata/history"
MONDAY = datetime(2013, 1, 14, 14, 30, tzinfo=UTC)
SNAPSHOT = "GET iserver/marketdata/snapshot"
CLOSE_ALL = "GET iserver/marketdata/unsubscribeall"


class Hand:
    """A clock that stands."""

    def __init__(self, now: datetime) -> None:
        self.instant = now

    def now(self) -> datetime:
        return self.instant


@pytest.fixture
def clock() -> Hand:
    return Hand(datetime(2013, 1, 15, 22, tzinfo=UTC))


@pytest.fixture
def source(server: RawServer, clock: Hand) -> Iterator[IbkrMarketData]:
    transport = server.transport(limiter=hand_limiter())
    yield IbkrMarketData(Session(transport, None, sleep=lambda _: None), clock, XNYS)
    transport.close()


def bar(opened_at: datetime, close: float = 10.0, volume: float = 2.5) -> dict[str, Any]:
    stamp = int(opened_at.timestamp() * 1000)
    return {"t": stamp, "o": close, "h": close + 1, "l": close - 1, "c": close, "v": volume}


def history(bars: list[dict[str, Any]], **changes: Any) -> bytes:
    return http(
        {
            "symbol": "AAPL",
            "priceFactor": 100,
            "volumeFactor": 40,
            "barLength": 86400,
            "points": len(bars) - 1,
            "mdAvailability": "S",
            "data": bars,
            **changes,
        }
    )


def odd_bar(number: str) -> bytes:
    bar_text = f'{{"t":1358173800000,"o":{number},"h":1,"l":1,"c":1,"v":1}}'
    return http(f'{{"data":[{bar_text}],"volumeFactor":1}}'.encode())


def tape(sessions: list[TradingSession], **changes: Any) -> Any:
    """A gateway that has one bar a session and answers as IBKR does: the window ends at startTime."""
    days = {"1w": 7, "1m": 30, "3m": 91, "6m": 182, "1y": 365, "2y": 730, "3y": 1095}

    @by_request
    def answer(request: Request) -> bytes:
        end = moment(request.query["startTime"])
        begin = end - timedelta(days=days[request.query["period"]])
        bars = [
            bar(s.opens_at, close=100 + i) for i, s in enumerate(sessions) if begin <= s.opens_at and s.opens_at <= end
        ]
        return history(bars[-1000:], **changes)

    return answer


def test_a_range_is_paged_backwards_until_it_is_whole(server: RawServer, source: IbkrMarketData) -> None:
    sessions = XNYS.sessions(date(2000, 3, 1), date(2013, 1, 15))
    server.replies[HISTORY] = tape(sessions)
    frame = source.fetch_bars(AAPL, BarSize.DAY, sessions[0].opens_at, sessions[-1].closes_at)
    assert list(frame.columns) == list(BAR_COLUMNS)
    assert list(frame["opened_at"]) == [s.opens_at for s in sessions]
    assert list(frame["close"]) == [100.0 + i for i in range(len(sessions))]
    assert set(frame["volume"]) == {100.0}
    assert str(frame["opened_at"].dtype) == "datetime64[ns, UTC]"
    assert str(frame["conid"].dtype) == "int64"
    assert server.count(HISTORY) == 5
    assert {r.query["bar"] for r in server.requests} == {"1d"}


@pytest.mark.parametrize(
    ("days", "period"), [(5, "1w"), (20, "1m"), (80, "3m"), (170, "6m"), (300, "1y"), (600, "2y"), (1000, "3y")]
)
def test_the_shortest_period_that_is_permitted_is_asked_for(
    server: RawServer, source: IbkrMarketData, clock: Hand, days: int, period: str
) -> None:
    sessions = XNYS.sessions(date(2009, 1, 2), date(2013, 1, 15))
    server.replies[HISTORY] = tape(sessions)
    source.fetch_bars(AAPL, BarSize.DAY, clock.now() - timedelta(days=days), clock.now())
    assert server.requests[0].query == {
        "conid": "265598",
        "period": period,
        "bar": "1d",
        "outsideRth": "false",
        "startTime": "20130115-22:00:00",
    }


def test_no_period_asks_for_more_than_a_thousand_bars() -> None:
    for _, reach in PERIODS[BarSize.DAY]:
        assert reach.days * 252 / 365 < 1000
    assert max(reach for _, reach in PERIODS[BarSize.MINUTE]) <= timedelta(days=1)


def test_only_bars_that_are_over_are_given(server: RawServer, source: IbkrMarketData, clock: Hand) -> None:
    day = XNYS.session(date(2012, 11, 23))  # closes early, at 18:00 UTC
    server.replies[HISTORY] = tape([*XNYS.sessions_before(day.day, 5), day])
    start = day.opens_at - timedelta(days=3)
    clock.instant = day.closes_at - timedelta(seconds=1)
    assert day.opens_at not in list(source.fetch_bars(AAPL, BarSize.DAY, start, clock.now())["opened_at"])
    clock.instant = day.closes_at
    assert source.fetch_bars(AAPL, BarSize.DAY, start, clock.now())["opened_at"].iloc[-1] == day.opens_at


def test_bars_outside_the_wanted_range_are_left_out(server: RawServer, source: IbkrMarketData) -> None:
    sessions = XNYS.sessions(date(2012, 10, 1), date(2012, 10, 12))
    server.replies[HISTORY] = tape(sessions)
    frame = source.fetch_bars(AAPL, BarSize.DAY, sessions[2].opens_at, sessions[5].opens_at)
    assert list(frame["opened_at"]) == [s.opens_at for s in sessions[2:5]]


def test_a_daily_bar_is_stamped_with_its_session_s_opening(server: RawServer, source: IbkrMarketData) -> None:
    midnight = datetime(2012, 10, 2, tzinfo=UTC)
    sunday = datetime(2012, 10, 7, 13, 30, tzinfo=UTC)
    server.replies[HISTORY] = history([bar(midnight), bar(sunday)])
    frame = source.fetch_bars(AAPL, BarSize.DAY, midnight - timedelta(days=1), midnight + timedelta(days=7))
    opens = XNYS.session(midnight.date()).opens_at
    assert list(frame["opened_at"]) == [opens, sunday]  # a bar of a day without a session is for validation to judge


def test_a_hole_longer_than_a_page_is_stepped_over(server: RawServer, source: IbkrMarketData) -> None:
    sessions = XNYS.sessions(date(2003, 1, 2), date(2003, 2, 3))
    server.replies[HISTORY] = tape(sessions)
    frame = source.fetch_bars(AAPL, BarSize.DAY, sessions[0].opens_at, datetime(2013, 1, 15, 22, tzinfo=UTC))
    assert len(frame) == len(sessions)


def test_a_contract_without_data_gives_an_empty_frame(server: RawServer, source: IbkrMarketData, clock: Hand) -> None:
    server.replies[HISTORY] = http({"error": "No data."}, status=500)
    frame = source.fetch_bars(AAPL, BarSize.DAY, clock.now() - timedelta(days=10), clock.now())
    assert frame.empty
    assert list(frame.columns) == list(BAR_COLUMNS)
    assert str(frame["opened_at"].dtype) == "datetime64[ns, UTC]"
    assert server.count(HISTORY) == 1


def test_minutes_are_fetched_page_by_page(server: RawServer, source: IbkrMarketData, clock: Hand) -> None:
    first, second = XNYS.sessions(date(2012, 11, 23), date(2012, 11, 26))

    @by_request
    def answer(request: Request) -> bytes:
        end = moment(request.query["startTime"])
        trading = second if end > second.opens_at else first
        count = int((min(end, trading.closes_at) - trading.opens_at).total_seconds() // 60)
        return history([bar(trading.opens_at + timedelta(minutes=i)) for i in range(max(count, 0))], barLength=60)

    server.replies[HISTORY] = answer
    clock.instant = second.opens_at + timedelta(minutes=30, seconds=30)
    frame = source.fetch_bars(AAPL, BarSize.MINUTE, first.opens_at, second.closes_at)
    assert len(frame) == 210 + 30
    assert frame["opened_at"].is_monotonic_increasing
    assert not frame["opened_at"].duplicated().any()


def test_the_first_call_for_a_contract_may_fail(server: RawServer, source: IbkrMarketData, clock: Hand) -> None:
    day = XNYS.session(date(2013, 1, 14))
    server.replies[HISTORY] = [http(status=404), http(status=503), history([bar(day.opens_at)])]
    frame = source.fetch_bars(AAPL, BarSize.DAY, day.opens_at, clock.now())
    assert len(frame) == 1
    assert server.count(HISTORY) == 3


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (http({"error": "Chart data unavailable"}), BrokerRefusal, "Chart data"),
        (http({"error": "Too many history charts requests, please try again later."}, status=429), Unavailable, "429"),
        (history([], barLength=60), UnreadableAnswer, "bars of 60 s"),
        (history([bar(MONDAY, 1.0), bar(MONDAY, 2.0)]), UnreadableAnswer, "two different"),
    ],
)
def test_a_history_that_cannot_be_trusted_is_refused_whole(
    server: RawServer, source: IbkrMarketData, clock: Hand, reply: bytes, kind: type[Exception], words: str
) -> None:
    server.replies[HISTORY] = reply
    with pytest.raises(kind, match=words):
        source.fetch_bars(AAPL, BarSize.DAY, clock.now() - timedelta(days=5), clock.now())


@pytest.mark.parametrize(
    ("reply", "reason", "words"),
    [
        (odd_bar("1e309"), "not_finite", "finite"),
        (history([{"t": 1358173800000, "o": 1, "h": 1, "l": 1, "c": 1}]), "missing_field", "v: Field required"),
        (history([], volumeFactor=0), "missing_field", "volumeFactor"),
        (http({"data": []}), "missing_field", "volumeFactor"),
        (http(b"[]"), "missing_field", "history of AAPL"),
    ],
)
def test_what_is_no_history_and_what_is_no_bar_come_as_rows_with_the_reason(
    server: RawServer, source: IbkrMarketData, clock: Hand, reply: bytes, reason: str, words: str
) -> None:
    server.replies[HISTORY] = reply
    frame = source.fetch_bars(AAPL, BarSize.DAY, clock.now() - timedelta(days=5), clock.now())
    assert frame["reason"].tolist() == [reason]
    assert words in frame["raw"][0]["error"]


def test_the_same_bar_twice_is_one(server: RawServer, source: IbkrMarketData, clock: Hand) -> None:
    one = bar(datetime(2013, 1, 14, 14, 30, tzinfo=UTC))
    server.replies[HISTORY] = history([one, one])
    assert len(source.fetch_bars(AAPL, BarSize.DAY, clock.now() - timedelta(days=5), clock.now())) == 1


@pytest.mark.parametrize(
    ("first", "last"), [("2013-01-02", "2013-01-03T00:00"), ("2013-01-03T00:00+00:00", "2013-01-02T00:00+00:00")]
)
def test_a_range_that_is_none_is_refused(source: IbkrMarketData, first: str, last: str) -> None:
    with pytest.raises(InputError):
        source.fetch_bars(AAPL, BarSize.DAY, datetime.fromisoformat(first), datetime.fromisoformat(last))


STOCKS = {
    "AAPL": [
        {"name": "LS 1X AAPL", "assetClass": "STK", "contracts": [{"conid": 1, "exchange": "LSEETF", "isUS": False}]},
        {
            "name": "APPLE INC",
            "assetClass": "STK",
            "contracts": [{"conid": 265598, "exchange": "NASDAQ", "isUS": True}],
        },
    ]
}
TWO = [{"conid": 1, "exchange": "X", "isUS": True}, {"conid": 2, "exchange": "Y", "isUS": True}]
RULES = [{"lowerEdge": 0.0, "increment": 0.0001}, {"lowerEdge": 1.0, "increment": 0.01}]
SECDEF = {
    "conid": 265598,
    "currency": "USD",
    "ticker": "AAPL",
    "listingExchange": "NASDAQ.NMS",
    "incrementRules": RULES,
}


def test_a_symbol_is_resolved_to_its_us_contract(server: RawServer, source: IbkrMarketData) -> None:
    server.replies["GET trsrv/stocks"] = http(STOCKS)
    server.replies["GET trsrv/secdef"] = http({"secdef": [SECDEF]})
    assert source.resolve("AAPL") == Instrument(265598, "AAPL", "NASDAQ.NMS", "USD", Decimal("0.01"), Decimal(1))


@pytest.mark.parametrize(
    ("rules", "tick"),
    [
        (http({"rules": {"increment": 0.05, "sizeIncrement": 40}}), "0.05"),
        (http(status=404), "0.01"),
        (http({}), "0.01"),
    ],
)
def test_the_tick_comes_from_the_rules_where_the_definition_has_none(
    server: RawServer, source: IbkrMarketData, rules: bytes, tick: str
) -> None:
    server.replies["GET trsrv/stocks"] = http(STOCKS)
    server.replies["GET trsrv/secdef"] = http({"secdef": [{**SECDEF, "incrementRules": None}]})
    server.replies["GET iserver/contract/265598/info-and-rules"] = rules
    assert source.resolve("AAPL").tick == Decimal(tick)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({}, "0 US stocks.*none at all"),
        ({"AAPL": []}, "0 US stocks"),
        ({"AAPL": STOCKS["AAPL"][:1]}, r"0 US stocks.*1 on LSEETF \(LS 1X AAPL\)"),
        ({"AAPL": [{"name": "A", "contracts": TWO}]}, r"2 US stocks.*1 on X \(A\), 2 on Y \(A\)"),
    ],
)
def test_an_ambiguous_symbol_names_its_candidates(
    server: RawServer, source: IbkrMarketData, answer: dict[str, Any], words: str
) -> None:
    server.replies["GET trsrv/stocks"] = http(answer)
    with pytest.raises(InputError, match=words):
        source.resolve("AAPL")


@pytest.mark.parametrize("symbol", ["", "aapl", "AAPL,MSFT", " AAPL"])
def test_a_symbol_that_is_none_is_not_asked_for(server: RawServer, source: IbkrMarketData, symbol: str) -> None:
    with pytest.raises(InputError, match="in capitals"):
        source.resolve(symbol)
    assert not server.requests


def row(**fields: Any) -> dict[str, Any]:
    return {"conid": 265598, "conidEx": "265598", "_updated": 1775169600000, "6119": "q1", **fields}


def test_quotes_are_waited_for_through_the_pre_flight(
    server: RawServer, source: IbkrMarketData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotes, "WAITS_S", (0.01, 0.01, 0.01))
    server.replies[SNAPSHOT] = [
        http([{"conid": 265598, "conidEx": "265598"}]),
        http([row(**{"31": "C189.37"})]),
        http([row(**{"31": "H1,189.37", "84": "1,189.30", "86": "1,189.40", "6509": "RpB"})]),
    ]
    quote = source.fetch_quotes([AAPL])[265598]
    assert (quote.last, quote.bid, quote.ask) == (Decimal("1189.37"), Decimal("1189.30"), Decimal("1189.40"))
    assert quote.is_halted
    assert quote.availability == "RpB"
    assert quote.updated_at == pd.Timestamp(1775169600, unit="s", tz="UTC")
    assert server.requests[0].path == "iserver/accounts"
    assert server.count(SNAPSHOT) == 3


@pytest.mark.parametrize(
    ("pace", "waits_s"), [(1.0, [0.25, 0.5, 0.5, 0.75, 1.0]), (100.0, [0.0025, 0.005, 0.005, 0.0075, 0.01])]
)
def test_waits_between_looks_at_a_quote_keep_the_pace(server: RawServer, pace: float, waits_s: list[float]) -> None:
    server.replies["GET iserver/accounts"] = http(ACCOUNTS)
    server.replies[SNAPSHOT] = http([{"conid": 265598, "conidEx": "265598"}])
    clock = HandClock()
    transport = server.transport(limiter=Limiter(MemoryState(), clock=clock, sleep=clock.sleep, pace=pace))
    slept: list[float] = []
    server.replies[CLOSE_ALL] = http({"unsubscribed": True})
    quotes.Quotes(Session(transport, None), sleep=slept.append).fetch([265598])
    transport.close()
    assert slept == pytest.approx(waits_s * 2), "and once more when all lines were closed"


def test_a_quote_that_stays_partial_is_given_as_it_is(
    server: RawServer, source: IbkrMarketData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotes, "WAITS_S", (0.01, 0.01))
    server.replies[SNAPSHOT] = http([row(**{"31": "655.89", "84": "655.88"}), {"conid": 8314}])
    server.replies[CLOSE_ALL] = http({"unsubscribed": True})
    found = source.fetch_quotes([AAPL])
    assert found[265598].ask is None
    assert (server.count(SNAPSHOT), server.count(CLOSE_ALL)) == (3, 0)


def test_a_contract_without_any_price_has_all_lines_closed_once_in_case_another_process_has_them(
    server: RawServer, source: IbkrMarketData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotes, "WAITS_S", (0.01,))
    server.replies[SNAPSHOT] = http([row(**{"31": "655.89", "84": "655.88", "86": "655.9"}), {"conid": 8314}])
    server.replies[CLOSE_ALL] = http({"unsubscribed": True})
    for _ in range(2):
        assert source.fetch_quotes([AAPL, Instrument(8314, "IBM", "NYSE")]).keys() == {265598}
    assert server.count(CLOSE_ALL) == 1
    assert server.count(SNAPSHOT) == 2 + 2 + 2


def test_a_price_that_cannot_be_read_is_refused(
    server: RawServer, source: IbkrMarketData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotes, "WAITS_S", ())
    server.replies[SNAPSHOT] = http([row(**{"31": "Z1.0"})])
    with pytest.raises(UnreadableAnswer, match="snapshot of 265598"):
        source.fetch_quotes([AAPL])


def test_no_instruments_ask_nothing(server: RawServer, source: IbkrMarketData) -> None:
    assert source.fetch_quotes([]) == {}
    assert not server.requests

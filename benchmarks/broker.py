"""The client at IBKR's own limit, its cost an answer against bare httpx, and how much the simulated gateway can take.

Each figure is measured against a gateway process of its own on this machine. A tape of 500 symbols with 1,000 daily
bars each is made up for it.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd

from benchmarks.measure import Comparison, compare
from ibkr_assets.adapters.clock import SystemClock
from ibkr_assets.adapters.ibkr import pacing_state
from ibkr_assets.adapters.ibkr.client import market_data
from ibkr_assets.adapters.ibkr.market_data import IbkrMarketData
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.gateway import RunningGateway, start_gateway

SYMBOLS = 500
BARS = 1000
#: So many seconds of the 500 symbols are fetched at IBKR's own pace.
BOUND_S = 58.0
#: A gateway with its limits off.
UNLIMITED = 1e6
_LIMIT_PER_S = 10
_FETCHES_AT_ONCE = 5
_ANSWERS = 40
_SESSIONS = exchange_calendar("XNYS").sessions_before(date(2016, 1, 4), BARS)


@dataclass(frozen=True, slots=True)
class Figures:
    """A name, and figures in words."""

    name: str
    figures: tuple[str, ...]

    def lines(self) -> list[str]:
        """One line for the name, one for each figure."""
        return [self.name, *(f"    {figure}" for figure in self.figures)]


def run() -> Iterator[Comparison | Figures]:
    """At the limit, the cost of an answer, and the gateway's capacity."""
    with tempfile.TemporaryDirectory(prefix="ibkr-assets-bench-") as folder:
        tape = Path(folder) / "tape"
        symbols = make_tape(tape)
        pacing_state.tempfile.tempdir = folder  # limits of a gateway of its own
        yield _at_the_limit(tape, symbols)
        yield _cost(tape, symbols)
        yield _capacity(tape, symbols)


def make_tape(folder: Path, symbols: int = SYMBOLS) -> list[str]:
    """A tape directory of one bar file: a random walk a symbol, with a fixed seed."""
    folder.mkdir()
    generator = np.random.default_rng(7)
    names = [f"S{number:04d}" for number in range(symbols)]
    close = np.round(100 * np.exp(generator.normal(0, 0.01, (symbols, BARS)).cumsum(axis=1)), 2)
    opened = np.round(close * (1 + generator.normal(0, 0.003, close.shape)), 2)
    frame = pd.DataFrame(
        {
            "symbol": np.repeat(names, BARS),
            "opened_at": pd.to_datetime([s.opens_at for s in _SESSIONS] * symbols, utc=True),
            "open": opened.ravel(),
            "high": (np.maximum(opened, close) + 0.5).ravel().round(2),
            "low": (np.minimum(opened, close) - 0.5).ravel().round(2),
            "close": close.ravel(),
            "volume": generator.integers(1_000, 9_000_000, symbols * BARS),
        }
    )
    frame.to_parquet(folder / "bars.parquet", index=False)
    return names


def _at_the_limit(tape: Path, symbols: list[str]) -> Figures:
    """Every symbol's whole history, one answer each, as fast as the limit of ten a second lets it."""
    with _gateway(tape, pace=1.0) as gateway, _data_side(gateway, pace=1.0) as source:
        instruments = [Instrument(conid, symbol, "NASDAQ") for symbol, conid in _conids(gateway, symbols).items()]
        source.sessions.read("iserver/accounts")
        time.sleep(1.1)  # the requests of the preparation are out of every window
        first_row = len(gateway.wirelog())
        stop_at = time.monotonic() + BOUND_S
        counts = _in_threads(instruments, lambda i: len(_fetch_all(source, i)), until=stop_at)
        rows = [row for row in gateway.wirelog()[first_row:] if row["route"] == "history"]
    times = sorted(row["t_mono"] for row in rows)
    rate = (len(times) - 1) / (times[-1] - times[0])
    most = max(sum(begin <= t < begin + 1.0 for t in times[i : i + 20]) for i, begin in enumerate(times))
    return Figures(
        f"daily history at IBKR's limit: {len(counts)} of {len(symbols)} symbols, {sum(counts):,} bars in "
        f"{times[-1] - times[0]:.1f} s",
        (
            f"requests per second over the limit of {_LIMIT_PER_S}: {rate / _LIMIT_PER_S:.3f}",
            f"most requests in any second: {most}",
            f"answers with 429: {sum(row['status'] == 429 for row in rows)}",
            f"answers that were not good: {sum(row['status'] != 200 for row in rows)}",
        ),
    )


def _cost(tape: Path, symbols: list[str]) -> Comparison:
    """CPU seconds of this process for the same answers: as frames of ours, and as bare JSON."""
    with _gateway(tape, pace=UNLIMITED) as gateway, _data_side(gateway, pace=UNLIMITED) as source:
        instrument = Instrument(_conids(gateway, symbols)[symbols[0]], symbols[0], "NASDAQ")
        source.sessions.read("iserver/accounts")
        _fetch_all(source, instrument)  # the first one imports pandas
        end = _SESSIONS[-1].closes_at.strftime("%Y%m%d-%H:%M:%S")
        query = {"conid": instrument.conid, "period": "3y", "bar": "1d", "outsideRth": "false", "startTime": end}
        with httpx.Client(trust_env=False) as bare:
            url = f"{gateway.api_url}/iserver/marketdata/history"

            def get() -> None:
                json.loads(bare.get(url, params=query).content)

            get()
            return compare(
                f"CPU of {_ANSWERS} history answers of three years each, as a frame",
                _ANSWERS * len(_fetch_all(source, instrument)),
                lambda: [_fetch_all(source, instrument) for _ in range(_ANSWERS)],
                {"bare httpx GET and json.loads": lambda: [get() for _ in range(_ANSWERS)]},
                clock=time.process_time,
            )


def _capacity(tape: Path, symbols: list[str]) -> Figures:
    """What one gateway process answers with its limits off, to clients that cost nothing: bare httpx, 4 at once."""
    with _gateway(tape, pace=UNLIMITED) as gateway, httpx.Client(base_url=gateway.api_url, trust_env=False) as bare:
        conid = _conids(gateway, symbols)[symbols[0]]
        bare.get("/iserver/accounts").raise_for_status()
        small = _rate(lambda: bare.get("/iserver/marketdata/history", params=_query(conid, "1m")))
        large = _rate(lambda: bare.get("/iserver/marketdata/history", params=_query(conid, "5y")))
        bare.get("/iserver/marketdata/snapshot", params={"conids": conid, "fields": "31,84,86"})
        order = {
            "acctId": gateway.account, "conid": conid, "orderType": "LMT", "side": "BUY", "quantity": 1, "tif": "DAY",
        }  # fmt: skip
        numbers = iter(range(10**6))

        def place() -> httpx.Response:
            body = {"orders": [{**order, "cOID": f"bench-{next(numbers)}", "price": 1}]}
            answer = bare.post(f"/iserver/account/{gateway.account}/orders", json=body).raise_for_status()
            value = answer.json()
            while isinstance(value, list) and "id" in value[0]:
                value = bare.post(f"/iserver/reply/{value[0]['id']}", json={"confirmed": True}).json()
            return bare.get(f"/iserver/account/order/status/{value[0]['order_id']}")

        orders = _rate(place, at_once=1)
        return Figures(
            "the gateway's own capacity, its limits off, requests are to one process on this machine",
            (
                f"history of a month: {small:,.0f} requests/s",
                f"history of 1,000 bars: {large:,.0f} requests/s",
                f"orders submitted, questions answered and status read: {orders:,.0f} orders/s",
            ),
        )


def _fetch_all(source: IbkrMarketData, instrument: Instrument) -> Any:
    return source.fetch_bars(instrument, BarSize.DAY, _SESSIONS[-700].opens_at, _SESSIONS[-1].closes_at)


def _query(conid: int, period: str) -> dict[str, str | int]:
    return {"conid": conid, "period": period, "bar": "1d"}


def _in_threads(items: list[Instrument], work: Callable[[Instrument], int], *, until: float) -> list[int]:
    def one(item: Instrument) -> int | None:
        return work(item) if time.monotonic() < until else None

    with ThreadPoolExecutor(_FETCHES_AT_ONCE) as pool:
        return [done for done in pool.map(one, items) if done is not None]


def _rate(call: Callable[[], httpx.Response], *, at_once: int = 4, seconds: float = 4.0) -> float:
    """Calls per second; every answer must be good."""
    stop_at = time.monotonic() + seconds

    def work(_: int) -> int:
        done = 0
        while time.monotonic() < stop_at:
            call().raise_for_status()
            done += 1
        return done

    with ThreadPoolExecutor(at_once) as pool:
        return sum(pool.map(work, range(at_once))) / seconds


def _conids(gateway: RunningGateway, symbols: list[str]) -> dict[str, int]:
    with httpx.Client(base_url=gateway.api_url, trust_env=False) as bare:
        found = bare.get("/trsrv/stocks", params={"symbols": ",".join(symbols)}).raise_for_status().json()
    listings = {symbol: [c for row in rows for c in row["contracts"] if c["isUS"]] for symbol, rows in found.items()}
    return {symbol: contracts[0]["conid"] for symbol, contracts in listings.items()}


@contextmanager
def _gateway(tape: Path, *, pace: float) -> Iterator[RunningGateway]:
    clock = _SESSIONS[-1].closes_at + timedelta(hours=1)
    with start_gateway(tape=tape, clock_start=clock, pace=pace) as running:
        yield running


@contextmanager
def _data_side(gateway: RunningGateway, *, pace: float) -> Iterator[IbkrMarketData]:
    source = market_data(
        gateway.api_url, ca=None, clock=SystemClock(), calendar=exchange_calendar("XNYS"),
        connect_timeout_s=5, read_timeout_s=20, pace=pace,
    )  # fmt: skip
    try:
        yield source
    finally:
        source.close()

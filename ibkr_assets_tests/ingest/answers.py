"""A gateway that gives damaged answers about bars, and the way of such an answer into the store."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Self

import pandas as pd

from ibkr_assets.adapters.ibkr.market_data import IbkrMarketData
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.ingest.bars import ingest_sessions
from ibkr_assets.ingest.validation import validate_sessions
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.adapters.ibkr.raw_server import RawServer, hand_limiter, http
from ibkr_assets_tests.fakes.clock import FixedClock

XNYS = exchange_calendar("XNYS")
_LETTERS = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}


class Answers:
    """Serves one damaged history after the other; used as a context."""

    def __init__(self) -> None:
        self._server = RawServer()
        self._transport = self._server.transport(limiter=hand_limiter())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()
        self._server.close()

    def take_in(
        self, store: PostgresBars, instrument: Instrument, bars: pd.DataFrame, damage: dict[str, object]
    ) -> int:
        """Fetch, store and judge the sessions of `bars`; gives the number of rows that came.

        `damage` replaces parts of it; `body` all of it, `points` makes it so long, `currency` is the contract's.
        The market clock shows five minutes after the last close.
        """
        sessions = XNYS.sessions(bars["opened_at"].iloc[0].date(), bars["opened_at"].iloc[-1].date())
        changes = dict(damage)
        count, currency = int(str(changes.pop("points", len(bars)))), changes.pop("currency", "USD")
        rows = [_row(bar, minutes=0) for bar in bars.to_dict("records")]
        rows += [_row(bars.iloc[0].to_dict(), minutes=minute) for minute in range(1, count - len(bars) + 1)]
        answer = {"symbol": instrument.symbol, "data": rows, "volumeFactor": 1.0, "barLength": 86_400, **changes}
        body = str(changes["body"]).encode() if "body" in changes else answer
        self._server.replies["GET iserver/marketdata/history"] = http(body)
        definition = {"conid": instrument.conid, "currency": currency, "ticker": instrument.symbol}
        self._server.replies["GET trsrv/secdef"] = http({"secdef": [definition]})
        store.save_instruments([instrument])
        clock = FixedClock(sessions[-1].closes_at + timedelta(minutes=5))
        ingest_sessions(
            IbkrMarketData(Session(self._transport, None, sleep=lambda _: None), clock, XNYS), store, XNYS,
            symbols=[instrument.symbol], sessions=sessions, warm_up_sessions=0, clock=clock, progress=lambda _: None,
        )  # fmt: skip
        validate_sessions(store, XNYS, instruments=[instrument], sessions=sessions)
        return 1 if "body" in changes else count


def _row(bar: dict[Any, Any], *, minutes: int) -> dict[str, Any]:
    stamp = int(bar["opened_at"].timestamp() * 1000) + 60_000 * minutes
    return {"t": stamp, **{letter: bar[name] for letter, name in _LETTERS.items()}}

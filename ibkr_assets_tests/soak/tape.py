"""Minute bars of fifty symbols out of the real daily bars that ship as a wheel.

The transformation, in full: the five real symbols keep their days; every other symbol is one of the four long series
with its days moved by a multiple of five sessions. A session's minutes are a path from the day's open to its close that
touches its high and its low once each, in an order and with steps drawn from the seed; prices are rounded to cents and
kept within the day's range, volume is shared out by a U. The days' own bars are written beside them, and the gateway
refuses a tape on which the two do not agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from ibkr_assets.domain.session import TradingSession

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

REAL = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
_LONG = ("AAPL", "GOOG", "IBM", "MSFT")
_SHIFT = 5


def symbols(count: int) -> tuple[str, ...]:
    """The first `count` symbols: the real ones, then those made of them, as AAPLB, GOOGB, IBMB, MSFTB, AAPLC."""
    made = [f"{base}{chr(ord('B') + number)}" for number in range(20) for base in _LONG]
    return (*REAL, *made)[:count]


def write_tape(
    directory: Path, names: Sequence[str], sessions: Sequence[TradingSession], *, seed: int, days_before: int = 200
) -> None:
    """Days up to the last of `sessions`, and minutes of `sessions`, one file a symbol each."""
    import numpy as np

    from ibkr_assets_tests.fakes.tape import real_bars

    (directory / "minutes").mkdir(parents=True)
    real = real_bars(start=date(2010, 1, 4), end=sessions[-1].day)
    wanted = {session.opens_at: session for session in sessions}
    for number, name in enumerate(names):
        base = name if name in REAL else name[:-1]
        shift = 0 if name in REAL else _SHIFT * (ord(name[-1]) - ord("A"))
        days = real[real["symbol"] == base].reset_index(drop=True)
        values = days[["open", "high", "low", "close", "volume"]].shift(shift)
        moved = days.assign(**{column: values[column] for column in values}).dropna().tail(len(sessions) + days_before)
        moved = moved.round(2).astype({"volume": "int64"})
        columns = ["opened_at", "open", "high", "low", "close", "volume"]
        moved[columns].to_csv(directory / f"{name}.csv", index=False)
        chance = np.random.default_rng([seed, number])
        parts = [
            _minutes(wanted[opened.to_pydatetime()], row, chance)
            for opened, row in zip(moved["opened_at"], moved.itertuples(), strict=True)
            if opened.to_pydatetime() in wanted
        ]
        _write(directory / "minutes" / f"{name}.parquet", parts)


def _minutes(session: TradingSession, day: object, chance: np.random.Generator) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    count = int((session.closes_at - session.opens_at).total_seconds() // 60)
    opened, high, low, close = (float(getattr(day, name)) for name in ("open", "high", "low", "close"))
    at_high, at_low = chance.choice(np.arange(1, count - 1), 2, replace=False)
    knots = sorted([(0, opened), (int(at_high), high), (int(at_low), low), (count, close)])
    path = np.interp(np.arange(count + 1), [x for x, _ in knots], [y for _, y in knots])
    path[1:-1] += chance.normal(0, max(high - low, 0.02) / 60, count - 1)
    path = np.clip(np.round(path, 2), low, high)
    opens, closes = path[:-1], path[1:]
    step = np.round(np.abs(chance.normal(0, max(high - low, 0.02) / 120, (2, count))), 2)
    above, below = np.maximum(opens, closes), np.minimum(opens, closes)
    highs = np.clip(np.round(above + step[0], 2), above, high)
    lows = np.clip(np.round(below - step[1], 2), low, below)
    highs[at_high], lows[at_low] = high, low
    shape = 1 + 2 * (np.linspace(-1, 1, count) ** 2)
    volume = np.maximum(1, (float(getattr(day, "volume")) * shape / shape.sum()).astype("int64"))  # noqa: B009
    return pd.DataFrame(
        {
            "opened_at": pd.date_range(session.opens_at, periods=count, freq="min"), "open": opens, "high": highs,
            "low": lows, "close": closes, "volume": volume,
        }
    )  # fmt: skip


def _write(path: Path, parts: Sequence[pd.DataFrame]) -> None:
    import pandas as pd

    pd.concat(parts, ignore_index=True).to_parquet(path)

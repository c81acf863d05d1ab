"""Bars of the past as a backtest wants them: validated daily ones of the database, in the shares of the last of them.

What goes here: which bars those are. What does not: bars from files (`ingest.files`) and reading tables (`BarStore`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.market.adjustment import adjust

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.ports import BarStore

FIRST, LAST = date(1900, 1, 1), date(2200, 1, 1)


def load_past_bars(store: BarStore, symbols: Sequence[str], first: date = FIRST, last: date = LAST) -> pd.DataFrame:
    """From `first` to `last`, both included (UTC); no split is a loss. Raises InputError where there are none."""
    wanted = [symbol.strip().upper() for symbol in symbols]
    conids = [instrument.conid for instrument in store.instruments(wanted)]
    begin, past = (datetime.combine(day, time(0), UTC) for day in (first, last + timedelta(days=1)))
    frame = store.load_bars(conids, BarSize.DAY, begin, past, is_validated=True)
    if frame.empty:
        raise InputError(f"bars: none of {', '.join(wanted)} from {first} to {last}")
    actions = store.load_actions(conids)
    if actions:
        frame = adjust(frame, actions, as_of=frame["opened_at"].max().date()).drop(columns="factor")
    return frame

"""Features of stored bars: load what was validated, compute, store the rows of the wanted sessions.

What goes here: the order of effects over the store. Names and formulas are in `features`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.features.compute import compute_features
from ibkr_assets.features.definition import feature_digest

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import BarStore


def build_features(
    store: BarStore,
    calendar: ExchangeCalendar,
    *,
    instruments: Sequence[Instrument],
    sessions: Sequence[TradingSession],
) -> pd.DataFrame:
    """Compute and store the features of these sessions' validated bars; returns the rows stored.

    All validated bars up to the last session are read, because averages that never forget depend on where they
    start: so a day by itself gets the same values as the same day within a long range. Raises InputError for no
    sessions or no instruments, DataError where the bars are no frame to compute on.
    """
    if not sessions or not instruments:
        raise InputError(f"{'instruments' if sessions else 'sessions'}: none given; there is nothing to compute")
    start = calendar.session(calendar.first_day).opens_at
    end = max(session.closes_at for session in sessions)
    conids = [instrument.conid for instrument in instruments]
    bars = store.load_bars(conids, BarSize.DAY, start, end, is_validated=True)
    features = compute_features(bars)
    wanted = features["opened_at"].isin([session.opens_at for session in sessions])
    rows = features.loc[wanted].reset_index(drop=True)
    store.save_features(rows, BarSize.DAY, feature_digest=feature_digest(), bars=bars)
    return rows

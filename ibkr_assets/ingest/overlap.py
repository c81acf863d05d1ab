"""The last sessions fetched once more and held against what is stored, so that a source's adjustment is noticed.

What goes here: the order of effects over the ports. What does not: seeing the adjustment (`market.overlap`). Nothing
fetched here is stored: adjusted prices are no correction of what was traded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.market.overlap import Rescaling, find_rescaling
from ibkr_assets.market.reasons import Reason

if TYPE_CHECKING:
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.ingest.sources import HistorySource
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import BarStore, Clock

#: Sessions that are fetched again.
OVERLAP_SESSIONS = 60


@dataclass(frozen=True, slots=True)
class Rescaled:
    """An instrument of which a source has changed the scale. `is_known` when such an action is stored already."""

    instrument: Instrument
    found: Rescaling
    is_known: bool


def check_overlap(
    source: HistorySource,
    store: BarStore,
    calendar: ExchangeCalendar,
    *,
    instruments: Sequence[Instrument],
    clock: Clock,
    sessions: int = OVERLAP_SESSIONS,
) -> list[Rescaled]:
    """Instruments whose older bars come in another scale than they are stored in; they are held until lifted.

    One whose action is known on that day is named and not held. Raises what the source raises.
    """
    wanted = calendar.sessions_up_to(calendar.last_closed(clock.now()).closes_at, sessions)
    start, end = wanted[0].opens_at, wanted[-1].closes_at
    known = {(one.conid, one.day) for one in store.load_actions([one.conid for one in instruments])}
    found = []
    for instrument in instruments:
        stored = store.load_bars([instrument.conid], BarSize.DAY, start, end)
        seen = find_rescaling(stored, source.fetch_bars(instrument, BarSize.DAY, start, end))
        if seen is None:
            continue
        is_known = (instrument.conid, seen.day) in known
        found.append(Rescaled(instrument, seen, is_known))
        if not is_known:
            bar = stored[stored["opened_at"] >= pd.Timestamp(seen.day, tz="UTC")].head(1)
            store.save_holds(bar[["conid", "symbol", "opened_at", "version"]].assign(reason=Reason.SPLIT_SUSPECT.value))
    return found

"""Features of stored bars: load what was validated, compute, store the rows of the wanted sessions.

What goes here: the order of effects over the store, in parts that fit in memory, and what is carried on from the
session before instead of being computed from the first bar. Names and formulas are in `features`, and which prices are
adjusted as of which day is in `ingest.adjusted_features`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.features.compute import Since
from ibkr_assets.features.definition import WARM_UP_BARS, feature_digest
from ibkr_assets.features.state import FeatureInputs, FeatureStart, FeatureState
from ibkr_assets.ingest.adjusted_features import compute_adjusted
from ibkr_assets.market.adjustment import effective

if TYPE_CHECKING:
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.market.adjustment import CorporateAction
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import BarStore

#: Instruments computed and stored at a time: about as many bars of ten years of days as of one year of minutes.
AT_A_TIME = {BarSize.DAY: 100, BarSize.MINUTE: 4}
#: The same of those that are carried on, which need a month or two of bars.
CARRIED_AT_A_TIME = {BarSize.DAY: 2000, BarSize.MINUTE: 20}
#: More sessions than these since the state, and starting from the first bar is as good.
CARRIED_SESSIONS = 60
#: Sessions before the state that are read: the bars of the longest window, and room for a few that have none.
CONTEXT_SESSIONS = {BarSize.DAY: WARM_UP_BARS + 10, BarSize.MINUTE: 2}


def build_features(
    store: BarStore,
    calendar: ExchangeCalendar,
    *,
    instruments: Sequence[Instrument],
    sessions: Sequence[TradingSession],
    size: BarSize = BarSize.DAY,
    progress: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Compute and store the features of these sessions' validated bars; returns the rows stored.

    Averages that never forget depend on where they start: they are carried on from the session before where the store
    has them and nothing they rest on has changed, and otherwise all bars up to the last session are read. Both give
    the same bits, so a day by itself gets the same values as the same day within a long range. Raises InputError for
    no sessions or no instruments, DataError where the bars are no frame to compute on.
    """
    parts = list(
        build_feature_parts(store, calendar, instruments=instruments, sessions=sessions, size=size, progress=progress)
    )
    return pd.concat(parts).sort_values(["conid", "opened_at"], kind="stable", ignore_index=True)


def build_feature_parts(
    store: BarStore,
    calendar: ExchangeCalendar,
    *,
    instruments: Sequence[Instrument],
    sessions: Sequence[TradingSession],
    size: BarSize = BarSize.DAY,
    progress: Callable[[str], None] | None = None,
) -> Iterator[pd.DataFrame]:
    """The same, rows as they are stored, some instruments at a time: for more than fits in memory."""
    if not sessions or not instruments:
        raise InputError(f"{'instruments' if sessions else 'sessions'}: none given; there is nothing to compute")
    wanted = sorted(set(sessions), key=lambda session: session.day)
    conids = sorted(instrument.conid for instrument in instruments)
    actions: Mapping[int, list[CorporateAction]] = defaultdict(list)
    for action in store.load_actions(conids):
        actions[action.conid].append(action)
    start = _fresh(store, calendar, conids, wanted, size, actions)
    length = AT_A_TIME[size] if len(wanted) > CARRIED_SESSIONS else CARRIED_AT_A_TIME[size]
    others = [conid for conid in conids if conid not in start.states]
    rows = carried = done = 0
    for part in [*_parts(sorted(start.states), length), *_parts(others, AT_A_TIME[size])]:
        features, inputs = _compute(store, calendar, part, wanted, size, start, actions)
        kept = features[_is_wanted(features["opened_at"], wanted)].reset_index(drop=True)
        store.save_features(kept, size, feature_digest=feature_digest(), inputs=inputs)
        rows, carried, done = rows + len(kept), carried + len(inputs.start.states), done + len(part)
        if progress is not None:
            progress(f"features: {rows} rows of {done} of {len(conids)} instruments, {carried} of them carried on")
        yield kept


def _parts(conids: Sequence[int], length: int) -> list[Sequence[int]]:
    return [conids[first : first + length] for first in range(0, len(conids), length)]


def _fresh(
    store: BarStore,
    calendar: ExchangeCalendar,
    conids: Sequence[int],
    wanted: Sequence[TradingSession],
    size: BarSize,
    actions: Mapping[int, Sequence[CorporateAction]],
) -> FeatureStart:
    """Epochs of all, and the states that are not too old and are in the shares of the last session."""
    before, until = wanted[0].opens_at, wanted[-1].day
    start = store.load_feature_start(conids, size, before, feature_digest=feature_digest())
    recent = calendar.sessions_up_to(before, CARRIED_SESSIONS)
    fresh = {
        conid: state
        for conid, state in start.states.items()
        if recent and state.opened_at >= recent[0].opens_at and effective(actions[conid], until) == state.actions
    }
    return FeatureStart(start.epochs, fresh)


def _compute(
    store: BarStore,
    calendar: ExchangeCalendar,
    conids: Sequence[int],
    wanted: Sequence[TradingSession],
    size: BarSize,
    start: FeatureStart,
    actions: Mapping[int, Sequence[CorporateAction]],
) -> tuple[pd.DataFrame, FeatureInputs]:
    before, end, until = wanted[0].opens_at, wanted[-1].closes_at, wanted[-1].day
    states = {conid: start.states[conid] for conid in conids if conid in start.states}
    bars, since = _load_recent(store, calendar, states, end, size)
    if states:  # a correction that came between the two reads is in the bars and not in the averages
        now = store.load_feature_start(list(since), size, before, feature_digest=feature_digest()).epochs
        since = {conid: known for conid, known in since.items() if now.get(conid) == start.epochs[conid]}
        bars = bars[bars["conid"].isin(since)]
    whole = [conid for conid in conids if conid not in since]
    if whole:
        first = calendar.session(calendar.first_day).opens_at
        others = store.load_bars(whole, size, first, end, is_validated=True)
        bars = pd.concat([bars, others], ignore_index=True) if len(bars) else others
        bars = bars.sort_values(["conid", "opened_at"], kind="stable", ignore_index=True) if since else bars
    else:
        bars = bars.reset_index(drop=True)
    own_actions = {conid: actions[conid] for conid in conids if actions[conid]}
    found = compute_adjusted(bars, own_actions, since)
    used = {conid: effective(own, until) for conid, own in own_actions.items()}
    kept = FeatureStart(start.epochs, {conid: states[conid] for conid in since})
    return found.features, FeatureInputs(bars, kept, used, found.averages)


def _load_recent(
    store: BarStore,
    calendar: ExchangeCalendar,
    states: Mapping[int, FeatureState],
    end: datetime,
    size: BarSize,
) -> tuple[pd.DataFrame, dict[int, Since]]:
    """Bars of the windows before each state and of what follows it, and where in them the states are.

    From the first of the state's month on (of its year when another one has begun): bars are named by months and years.
    """
    if not states:
        return pd.DataFrame({"conid": []}), {}
    oldest = min(state.opened_at for state in states.values())
    begins = oldest.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if oldest.year != end.year:
        begins = begins.replace(month=1)
    context = calendar.sessions_up_to(oldest, CONTEXT_SESSIONS[size])
    bars = store.load_bars(
        list(states), size, min([begins, *(s.opens_at for s in context[:1])]), end, is_validated=True
    )
    conids, moments = bars["conid"].to_numpy(), bars["opened_at"].to_numpy(dtype="datetime64[ns]")
    since = {}
    for conid, state in states.items():
        first, last = np.searchsorted(conids, [conid, conid + 1])
        moment = np.datetime64(state.opened_at.astimezone(UTC).replace(tzinfo=None), "ns")
        at = int(np.searchsorted(moments[first:last], moment))
        if at >= WARM_UP_BARS and first + at < last and moments[first + at] == moment:
            since[conid] = Since(at, state.averages)
    return bars, since


def _is_wanted(opened_at: pd.Series, sessions: Sequence[TradingSession]) -> npt.NDArray[np.bool_]:
    """Which bars opened within one of the sessions."""
    moments = opened_at.to_numpy(dtype="datetime64[ns]")
    opens = np.array([s.opens_at.replace(tzinfo=None) for s in sessions], dtype="datetime64[ns]")
    closes = np.array([s.closes_at.replace(tzinfo=None) for s in sessions], dtype="datetime64[ns]")
    own = np.searchsorted(opens, moments, side="right") - 1
    is_within: npt.NDArray[np.bool_] = (own >= 0) & (moments < closes[own])
    return is_within

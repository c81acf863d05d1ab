"""Features of bars whose instruments had splits or special dividends: each row in the shares of its own day.

What goes here: which bars are adjusted as of which day. What does not: the arithmetic of either (`market.adjustment`,
`features.compute`), and the store (`ingest.features`). No row is computed from an action that comes after it, so rows
before a split are what they were before anybody knew of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from ibkr_assets.features.compute import Computed, Since, compute_from
from ibkr_assets.market.adjustment import CorporateAction, adjust


def compute_adjusted(
    bars: pd.DataFrame, actions: Mapping[int, Sequence[CorporateAction]], since: Mapping[int, Since]
) -> Computed:
    """As `compute_from`, each row from bars in the shares of its day; `actions` are ordered by day.

    An instrument in `since` has no action between its state and its last bar: its averages are in the shares of both.
    """
    has_actions = bars["conid"].isin([conid for conid, own in actions.items() if own]).to_numpy()
    if not has_actions.any():
        return compute_from(bars, since)
    plain = bars[~has_actions]
    found = compute_from(plain, since)
    parts, averages = [found.features.set_index(plain.index)], dict(found.averages)
    for conid, own in bars[has_actions].groupby("conid", sort=False):
        one = _compute_one(own, actions[int(str(conid))], since)
        parts.append(one.features.set_index(own.index))
        averages |= one.averages
    return Computed(pd.concat(parts).sort_index(), averages)


def _compute_one(bars: pd.DataFrame, actions: Sequence[CorporateAction], since: Mapping[int, Since]) -> Computed:
    """One instrument: for the rows from each action to the next, all bars until there as of that action's day."""
    days = bars["opened_at"].dt.date.to_numpy()
    if int(bars["conid"].iloc[0]) in since:
        return compute_from(adjust(bars, actions, as_of=days[-1]), since)
    turns = sorted({action.day for action in actions if days[0] < action.day <= days[-1]})
    edges = [0, *np.searchsorted(days, np.array(turns, dtype=object)).tolist(), len(bars)]
    parts, found = [], Computed(pd.DataFrame(), {})
    for start, end in pairwise(edges):
        if start == end:
            continue
        found = compute_from(adjust(bars.iloc[:end], actions, as_of=days[start]), {})
        parts.append(found.features.iloc[start:])
    return Computed(pd.concat(parts, ignore_index=True), found.averages)

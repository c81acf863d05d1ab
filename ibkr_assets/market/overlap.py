"""Bars fetched again beside those stored: one ratio on everything before a day is a corporate action, not a correction.

A source that adjusts its history says so by no word: after a 2:1 split all older prices come halved. What goes here:
seeing that in two frames of the same days. What does not: fetching (`ingest.overlap`), and booking an action, which a
person or a second source does (`cli.corporate_actions`). Moves within one series are `market.jumps`' work.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd

from ibkr_assets.market.adjustment import ActionKind
from ibkr_assets.market.jumps import SPLIT_RATIOS

#: Ratios of one action agree within this, and a split's ratio meets n:m within it.
TOLERANCE = 0.005
#: Fewer bars before the day than this say nothing.
FEWEST_BARS = 5
_PRICES = ["open", "high", "low", "close"]


@dataclass(frozen=True, slots=True)
class Rescaling:
    """Since it was stored, everything before `day` came to be multiplied by `ratio`.

    `kind` and `value` are what that would be as a corporate action: new shares for an old one, or USD a share; a ratio
    that is no split's and above 1 is neither.
    """

    day: date
    ratio: float
    bars: int
    kind: ActionKind | None
    value: Decimal | None


def find_rescaling(stored: pd.DataFrame, fetched: pd.DataFrame) -> Rescaling | None:
    """What one instrument's bars of the same days show; None where they agree, or differ in no one ratio.

    Both have `opened_at` and the four prices. Every price of every bar before the day must show the ratio, and every
    one from it on must be the same, each within 0.5 %; so a single corrected bar is no action.
    """
    both = stored.merge(fetched, on="opened_at", suffixes=("", "_again")).sort_values("opened_at", ignore_index=True)
    old, new = both[_PRICES].to_numpy(dtype=float), both[[f"{name}_again" for name in _PRICES]].to_numpy(dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = new / old
    is_other = ~(np.abs(ratios - 1.0) <= TOLERANCE).all(axis=1)
    count = int(is_other.sum())
    if count < FEWEST_BARS or not is_other[:count].all() or count == len(both):
        return None
    ratio = float(np.median(ratios[:count]))
    if not (np.abs(ratios[:count] / ratio - 1.0) <= TOLERANCE).all():
        return None
    day = both["opened_at"][count].date()
    split = min(SPLIT_RATIOS, key=lambda one: abs(one * ratio - 1.0))
    if abs(split * ratio - 1.0) <= TOLERANCE:
        return Rescaling(day, ratio, count, ActionKind.SPLIT, Decimal(repr(round(split, 6))))
    if ratio < 1.0:
        paid = float(old[count - 1, _PRICES.index("close")]) * (1.0 - ratio)
        return Rescaling(day, ratio, count, ActionKind.CASH, Decimal(repr(round(paid, 2))))
    return Rescaling(day, ratio, count, None, None)

"""What features are carried on from, and what they rest on: values that the store keeps, and the store's interface.

What goes here: plain values. What does not: the arithmetic (`features.kernel`) and the tables
(`adapters.postgres.features`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.domain.bar import BarSize

#: Day (ISO), kind and value of a split or a special dividend, as text, in order of days.
Actions = tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class FeatureState:
    """The averages of an instrument at the bar opened at `opened_at` (aware UTC), which is one of its accepted bars.

    `lists` name the bar versions up to that bar, `actions` what their prices were adjusted for.
    """

    opened_at: datetime
    averages: tuple[float, ...]
    lists: tuple[str, ...]
    actions: Actions


@dataclass(frozen=True, slots=True)
class FeatureStart:
    """Where instruments (by conid) can be carried on from, and the epochs of their bars when this was read.

    A state that is here rests on bars that are all still the current, accepted ones.
    """

    epochs: Mapping[int, int]
    states: Mapping[int, FeatureState]


@dataclass(frozen=True, slots=True)
class FeatureInputs:
    """What rows of features were computed from.

    `bars` have `version` and `row_sha`, ordered by conid and time: all accepted ones of an instrument, or for one in
    `start.states` those from the first day of the state's month on (of its year, where the last bar is of a later
    year). `averages` are those at the last bar of each instrument.
    """

    bars: pd.DataFrame
    start: FeatureStart = field(default_factory=lambda: FeatureStart({}, {}))
    actions: Mapping[int, Actions] = field(default_factory=dict)
    averages: Mapping[int, tuple[float, ...]] = field(default_factory=dict)


class FeatureStore(Protocol):
    """Features by digest, part of the `ports.BarStore`."""

    def save_features(
        self, features: pd.DataFrame, size: BarSize, *, feature_digest: str, inputs: FeatureInputs | None = None
    ) -> int:
        """Store rows of features (conid, opened_at, one column a feature), and what gave them; NaN is NULL."""

    def load_features(
        self, conids: Sequence[int], size: BarSize, start: datetime, end: datetime, *, feature_digest: str
    ) -> pd.DataFrame:
        """Features of bars opened in [start, end): conid, opened_at (aware UTC), one float column a feature."""

    def load_feature_start(
        self, conids: Sequence[int], size: BarSize, before: datetime, *, feature_digest: str
    ) -> FeatureStart:
        """The newest states of bars opened before `before` that still hold, and epochs; read it before the bars."""

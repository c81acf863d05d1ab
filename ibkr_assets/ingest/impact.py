"""One bar changed, and what follows for the instrument's bars, verdicts and features: both states computed whole.

What goes here: the two states and in what they differ. What does not: signals and orders (`execution.impact`), and
storing anything: a change that nobody made is looked at in the same way as one that is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.features.definition import feature_digest
from ibkr_assets.ingest.adjusted_features import compute_adjusted
from ibkr_assets.ingest.decisions import as_decided
from ibkr_assets.market.reasons import words_of
from ibkr_assets.market.validation import Verdict, find_reasons

if TYPE_CHECKING:
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.market.reasons import Codes
    from ibkr_assets.ports import BarStore

VALUES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class State:
    """An instrument's validated bars (with version and row_sha) and all features of them."""

    bars: pd.DataFrame
    features: pd.DataFrame


@dataclass(frozen=True, slots=True)
class BarChange:
    """The same instrument before and after. `old` and `new` are the bar's values and whether it is validated.

    `raw` and `validated` are the days whose partitions differ; `changed_bars` and `changed_features` the openings of
    validated bars and of feature rows that differ or are there in one state only.
    """

    instrument: Instrument
    size: BarSize
    opened_at: datetime
    old: Mapping[str, float | bool]
    new: Mapping[str, float | bool]
    before: State
    after: State
    raw: tuple[date, ...]
    validated: tuple[date, ...]
    changed_bars: pd.DatetimeIndex
    changed_features: pd.DatetimeIndex


def change_bar(
    store: BarStore,
    calendar: ExchangeCalendar,
    instrument: Instrument,
    size: BarSize,
    opened_at: datetime,
    *,
    values: Mapping[str, float] | None = None,
    older: Mapping[str, Any] | None = None,
) -> BarChange:
    """What differs if these values of a stored bar were others, or, without `values`, since it was corrected.

    `older` is the version before the correction: the five values, `version` and `row_sha`. Raises InputError for a bar
    that is not stored, or, with neither, was never corrected.
    """
    end = calendar.session(calendar.last_day).closes_at
    start = calendar.session(calendar.first_day).opens_at
    now = store.load_bars([instrument.conid], size, start, end)
    accepted = store.load_bars([instrument.conid], size, start, end, is_validated=True)
    is_accepted = now["opened_at"].isin(accepted["opened_at"]).to_numpy()
    place = np.flatnonzero((now["opened_at"] == opened_at).to_numpy())
    if not place.size:
        raise InputError(f"bar {instrument.symbol} {opened_at.isoformat()} {size}: not stored")
    row = int(place[0])
    before, later = now.copy(), now
    if values is not None:
        later = _with(now, row, values)
    elif older is not None:
        for name in (*VALUES, "version", "row_sha"):
            before.loc[row, name] = np.nan if older[name] is None else older[name]
    else:
        raise InputError(
            f"bar {instrument.symbol} {opened_at.isoformat()} {size}: never corrected; --set says what it might become"
        )
    states = [before, later]
    verdicts = _verdicts(store, calendar, size, states, is_accepted, row)
    known = [_state(store, frame[good].reset_index(drop=True), instrument) for frame, (good, _) in
             zip(states, verdicts, strict=True)]  # fmt: skip
    is_same_bar = all(before[name].iloc[row] == later[name].iloc[row] for name in VALUES)
    is_new = np.zeros(len(now), dtype=bool)
    is_new[row] = not is_same_bar
    differs = is_new | (verdicts[0][1] != verdicts[1][1]) | (verdicts[0][0] != verdicts[1][0])
    validated = (is_new & verdicts[0][0] & verdicts[1][0]) | (verdicts[0][0] != verdicts[1][0])
    moments = pd.DatetimeIndex(now["opened_at"])
    return BarChange(
        instrument=instrument,
        size=size,
        opened_at=opened_at,
        old=_words(before, row, verdicts[0][0]),
        new=_words(later, row, verdicts[1][0]),
        before=known[0],
        after=known[1],
        raw=_days(moments[is_new]),
        validated=_days(moments[differs]),
        changed_bars=moments[validated],
        changed_features=_changed_rows(known[0].features, known[1].features),
    )


def find_outdated(store: BarStore, calendar: ExchangeCalendar, conid: int, *, since: date) -> list[date]:
    """Days from `since` on whose stored features of daily bars are not what would be computed now."""
    start, end = calendar.session(calendar.first_day).opens_at, calendar.session(calendar.last_day).closes_at
    bars = store.load_bars([conid], BarSize.DAY, start, end, is_validated=True)
    stored = store.load_features([conid], BarSize.DAY, start, end, feature_digest=feature_digest())
    own = [action for action in store.load_actions([conid]) if action.conid == conid]
    computed = compute_adjusted(bars, {conid: own}, {}).features
    both = computed[computed["opened_at"].isin(stored["opened_at"])]
    is_stored = stored["opened_at"].isin(computed["opened_at"])
    return [day for day in _days(_changed_rows(stored[is_stored], both)) if day >= since]


def _with(bars: pd.DataFrame, row: int, values: Mapping[str, float]) -> pd.DataFrame:
    """The bars with some values of one bar changed, as its next version."""
    changed = bars.copy()
    for name, value in values.items():
        if name not in VALUES:
            raise InputError(f"set: no value {name!r} in a bar; there are {', '.join(VALUES)}")
        changed.loc[row, name] = value
    changed.loc[row, "version"] += 1
    text = "|".join(repr(float(changed[name].iloc[row])) for name in VALUES)
    changed.loc[row, "row_sha"] = hashlib.sha256(text.encode()).hexdigest()
    return changed if any(changed[name].iloc[row] != bars[name].iloc[row] for name in VALUES) else bars.copy()


def _verdicts(
    store: BarStore,
    calendar: ExchangeCalendar,
    size: BarSize,
    states: list[pd.DataFrame],
    is_accepted: npt.NDArray[np.bool_],
    row: int,
) -> list[tuple[npt.NDArray[np.bool_], Codes]]:
    """Of each state which bars are validated, and what validation says.

    Bars of which it says the same in both keep their stored verdict, which rests on more than values: people's
    decisions, and what is known of the feed.
    """
    everything = np.ones(len(is_accepted), dtype=bool)
    reasons = [find_reasons(frame, is_judged=everything, calendar=calendar, size=size) for frame in states]
    is_open = reasons[0] != reasons[1]
    is_open[row] = True
    found = []
    for frame, said in zip(states, reasons, strict=True):
        judged = frame[is_open]
        words = pd.Series(words_of(said[is_open]), index=judged.index)
        verdict = as_decided(
            store, size, Verdict(judged[words == ""], judged[words != ""].assign(reason=words[words != ""]), [])
        )
        good = is_accepted.copy()
        good[is_open] = judged["opened_at"].isin(verdict.accepted["opened_at"]).to_numpy()
        told = said.copy()
        told[good | ~is_open] = 0
        found.append((good, told))
    return found


def _state(store: BarStore, bars: pd.DataFrame, instrument: Instrument) -> State:
    own = [action for action in store.load_actions([instrument.conid]) if action.conid == instrument.conid]
    return State(bars, compute_adjusted(bars, {instrument.conid: own}, {}).features)


def _changed_rows(before: pd.DataFrame, after: pd.DataFrame) -> pd.DatetimeIndex:
    """Openings of rows that are not bit for bit the same."""
    names = [name for name in before.columns if name not in ("conid", "opened_at")]
    both = before.merge(after, on="opened_at", how="outer", suffixes=("", "_after"), indicator=True)
    old, new = both[names].to_numpy(dtype=float), both[[f"{name}_after" for name in names]].to_numpy(dtype=float)
    is_same = ((old == new) | (np.isnan(old) & np.isnan(new))).all(axis=1) & (both["_merge"] == "both").to_numpy()
    return pd.DatetimeIndex(both.loc[~is_same, "opened_at"])


def _days(moments: pd.DatetimeIndex) -> tuple[date, ...]:
    return tuple(sorted({moment.date() for moment in moments}))


def _words(bars: pd.DataFrame, row: int, good: npt.NDArray[np.bool_]) -> dict[str, float | bool]:
    return {**{name: float(bars[name].iloc[row]) for name in VALUES}, "is_validated": bool(good[row])}

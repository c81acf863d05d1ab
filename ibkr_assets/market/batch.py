"""A batch of bars as arrays: its columns, the order in which it is gone through, and what rows are beside each other.

What goes here: what is asked of a batch before it is judged. What does not: judging it (`market.scan`,
`market.validation`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ibkr_assets.features.frame import Floats, Ints, frozen
from ibkr_assets.market.reasons import CODES, Reason

if TYPE_CHECKING:
    from ibkr_assets.market.reasons import Codes

PRICES = ("open", "high", "low", "close")


class Columns(NamedTuple):
    """Bars as arrays, in the order they came; `opened_at` in nanoseconds since 1970."""

    opened_at: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


class Walk(NamedTuple):
    """Rows by instrument and time: instrument n has the places from `starts[n]` up to `starts[n + 1]` of `order`.

    Where `order` is empty a place is a row: bars stand as they should.
    """

    starts: Ints
    order: Ints

    def rows_of(self, number: int) -> Ints:
        """The rows of an instrument, oldest first."""
        places = np.arange(self.starts[number], self.starts[number + 1])
        return self.order[places] if self.order.size else places


def columns_of(bars: pd.DataFrame) -> Columns:
    """The columns of a frame that has BAR_COLUMNS, with numbers in all but `symbol` and `opened_at`, which is aware."""
    floats = (frozen(bars[name].to_numpy(dtype=np.float64)) for name in (*PRICES, "volume"))
    return Columns(nanoseconds_of(bars["opened_at"]), *floats)


def nanoseconds_of(moments: pd.Series) -> Ints:
    """Aware instants in nanoseconds since 1970."""
    return frozen(moments.to_numpy(dtype="datetime64[ns]").view(np.int64))


def walk_of(conids: Ints, opened_at: Ints) -> Walk:
    """Rows as they stand where these are in order and none comes twice, as a store gives them; sorted otherwise.

    Of copies the one that came first is first.
    """
    is_other = conids[1:] != conids[:-1]
    starts = _starts(is_other, conids.size)
    is_other |= opened_at[1:] > opened_at[:-1]
    if is_other.all() and np.unique(conids[starts[:-1]]).size == starts.size - 1:
        return Walk(starts, frozen(np.empty(0, dtype=np.int64)))
    order = np.lexsort((opened_at, conids))
    own = conids[order]
    return Walk(_starts(own[1:] != own[:-1], own.size), frozen(order))


def _starts(is_other: npt.NDArray[np.bool_], rows: int) -> Ints:
    """The first row of each instrument, and the end."""
    first = np.zeros(min(rows, 1), dtype=np.int64)
    return frozen(np.concatenate([first, np.flatnonzero(is_other) + 1, [rows]]))


def find_copies(bars: pd.DataFrame, opened_at: Ints) -> Codes:
    """For each row the code of what it is beside others: a copy, one that came too late, or 0."""
    codes = np.zeros(len(bars), dtype=np.int8)
    codes[_is_late(bars["conid"], opened_at)] = CODES[Reason.OUT_OF_ORDER]
    codes[_is_copy(bars)] = CODES[Reason.DUPLICATE_IN_FETCH]
    return codes


def _is_copy(bars: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Later copies of a bar; every copy where they do not agree, because nobody knows which is right."""
    key = ["conid", "opened_at"]
    is_repeated: npt.NDArray[np.bool_] = bars.duplicated(key, keep=False).to_numpy()
    if not is_repeated.any():
        return is_repeated
    is_later = bars.duplicated(key, keep="first").to_numpy()
    different = bars.loc[is_repeated, [*key, *PRICES, "volume"]].drop_duplicates()
    contested = pd.MultiIndex.from_frame(different.loc[different.duplicated(key, keep=False), key])
    is_contested = pd.MultiIndex.from_frame(bars[key]).isin(contested)
    flags: npt.NDArray[np.bool_] = is_later | is_contested
    return flags


def _is_late(conids: pd.Series, opened_at: Ints) -> npt.NDArray[np.bool_]:
    """Bars that came after a later bar of the same instrument."""
    by_conid = np.argsort(conids.to_numpy(), kind="stable")
    flags = np.zeros(len(opened_at), dtype=bool)
    edges = np.flatnonzero(np.diff(conids.to_numpy()[by_conid])) + 1
    for rows in np.split(by_conid, edges):
        own = opened_at[rows]
        flags[rows] = own < np.maximum.accumulate(own)
    return flags

"""A frame of bars made fit to store: one row a bar, canonical values, and the hash of each.

What goes here: what a row must have to be a bar at all, and its identity as bytes. What does not: whether a bar is
believable, which is `market`'s judgement, and SQL, which is in `adapters.postgres.bars`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import DataError
from ibkr_assets.market.grid import is_ordered

VALUES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class BarRows:
    """Distinct bars as arrays. `values` is n x 5, not finite numbers as NaN."""

    conids: npt.NDArray[np.int64]
    opened_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    size: BarSize

    def __len__(self) -> int:
        return len(self.conids)

    def where(self, is_wanted: npt.NDArray[np.bool_]) -> BarRows:
        """Some of the rows."""
        if is_wanted.all():
            return self
        return BarRows(self.conids[is_wanted], self.opened_us[is_wanted], self.values[is_wanted], self.size)

    def shas(self, rows: slice) -> npt.NDArray[np.uint8]:
        """The hashes of some rows, n x 32 bytes."""
        return row_shas(self.conids[rows], self.opened_us[rows], self.values[rows], self.size)


@dataclass(frozen=True, slots=True)
class Rejected:
    """Rows that are no bars, each with a column `reason`."""

    rows: pd.DataFrame


def bar_rows(bars: pd.DataFrame, size: BarSize) -> tuple[BarRows, Rejected]:
    """Split a fetched frame into bars and rows that are none.

    No bar is: a row without conid or instant (`missing_field`), and a row that another one of the same bar, further
    down, contradicts (`duplicate_in_fetch`). Raises DataError when a column is missing or `opened_at` has no zone.
    """
    missing = [name for name in ("conid", "opened_at", *VALUES) if name not in bars.columns]
    if missing:
        raise DataError(f"bars: columns {missing} are missing")
    if not isinstance(bars["opened_at"].dtype, pd.DatetimeTZDtype):
        raise DataError(f"bars: opened_at must be aware, got {bars['opened_at'].dtype}")
    has_key = (bars["conid"].notna() & bars["opened_at"].notna()).to_numpy()
    kept = bars if has_key.all() else bars[has_key]
    rejected = bars[~has_key].assign(reason="missing_field")
    conids, opened_us = _keys(kept)
    if not is_ordered(conids, opened_us):  # a fetch comes in order as a rule, and then no bar comes twice
        is_last = ~kept.duplicated(["conid", "opened_at"], keep="last")
        is_repeat = kept.duplicated(["conid", "opened_at", *VALUES], keep="last")
        rejected = pd.concat([rejected, kept[~is_last & ~is_repeat].assign(reason="duplicate_in_fetch")])
        kept = kept[is_last]
        conids, opened_us = _keys(kept)
    values = kept[list(VALUES)].to_numpy(dtype=np.float64, copy=True)
    is_finite = np.isfinite(values)
    if not is_finite.all():
        values[~is_finite] = np.nan
    values += 0.0  # minus zero and zero are the same price
    return BarRows(conids, opened_us, values, size), Rejected(rejected)


def _keys(bars: pd.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return bars["conid"].to_numpy(dtype=np.int64), microseconds(bars["opened_at"])


def row_shas(
    conids: npt.NDArray[np.int64],
    opened_us: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    size: BarSize,
) -> npt.NDArray[np.uint8]:
    """SHA-256 of each bar: its size as text, then conid, microseconds since 1970 and the five values, big-endian.

    NaN counts as the one quiet NaN 0x7FF8000000000000. Returns n x 32 bytes.
    """
    rows = len(conids)
    canonical = np.where(np.isnan(values), np.float64("nan"), values)
    prefix = np.frombuffer(size.value.encode(), dtype=np.uint8)
    packed = np.hstack([
        np.broadcast_to(prefix, (rows, prefix.size)),
        conids.astype(">i8").view(np.uint8).reshape(rows, 8),
        opened_us.astype(">i8").view(np.uint8).reshape(rows, 8),
        np.ascontiguousarray(canonical, dtype=">f8").view(np.uint8).reshape(rows, 8 * len(VALUES)),
    ])  # fmt: skip
    each: list[bytes] = packed.view(f"V{packed.shape[1]}").reshape(-1).tolist()
    sha256 = hashlib.sha256
    digests = b"".join([sha256(row).digest() for row in each])
    return np.frombuffer(digests, dtype=np.uint8).reshape(rows, 32)


def microseconds(instants: pd.Series) -> npt.NDArray[np.int64]:
    """Aware instants as microseconds since 1970 UTC."""
    moments: npt.NDArray[np.datetime64] = instants.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    return moments.astype("datetime64[us]").astype(np.int64)


def instants(us: npt.NDArray[np.int64]) -> pd.Series:
    """The reverse: aware UTC, in nanoseconds as pandas has them by default."""
    return pd.Series(pd.to_datetime(us, unit="us", utc=True))

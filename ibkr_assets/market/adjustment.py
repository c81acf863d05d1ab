"""Bars adjusted for splits and special dividends when they are read; stored bars stay as they were traded.

What goes here: the arithmetic. What does not: storing actions (`adapters.postgres.corporate_actions`), and suspecting
one from prices (`market.jumps`), which books nothing: a person or a second source says what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

import numpy as np
import pandas as pd

from ibkr_assets.domain.errors import DataError, InputError

_PRICES = ["open", "high", "low", "close"]


class ActionKind(StrEnum):
    """A split changes the number of shares; cash is paid on each share beside the ordinary dividends."""

    SPLIT = "split"
    CASH = "cash"


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """What happened to a share on `day`, the first session that trades without what was split off or paid.

    `value` is the new shares for one old one of a split, and the amount a share, in the instrument's currency, of cash.
    """

    conid: int
    day: date
    kind: ActionKind
    value: Decimal

    def __post_init__(self) -> None:
        """Raises InputError for a value that is not positive and finite."""
        if not self.value.is_finite() or self.value <= 0:
            raise InputError(f"value {self.value}: of a {self.kind} must be positive")


def effective(actions: Sequence[CorporateAction], until: date) -> tuple[tuple[str, str, str], ...]:
    """Those with effect on the day `until` or before, as they are kept: day (ISO), kind and value as text."""
    return tuple((a.day.isoformat(), a.kind.value, str(a.value)) for a in actions if a.day <= until)


def adjust(bars: pd.DataFrame, actions: Sequence[CorporateAction], *, as_of: date) -> pd.DataFrame:
    """The bars in terms of the shares of `as_of`: actions after that day are not looked at, so nothing leaks back.

    `bars` has BAR_COLUMNS, any instruments, unadjusted, ordered by conid and time. Before a split prices are divided
    and volumes multiplied by its ratio; before cash prices lose the part that the payment was of the close before it.
    A column `factor` says what prices were multiplied by. Raises DataError for cash of which the close before it is
    not among the bars, or which is more than that close.
    """
    days = bars["opened_at"].dt.tz_convert("UTC").dt.date.to_numpy()
    conids = bars["conid"].to_numpy()
    prices, volumes = np.ones(len(bars)), np.ones(len(bars))
    for action in sorted(actions, key=lambda one: (one.conid, one.day)):
        is_before = (conids == action.conid) & (days < action.day)
        if action.day > as_of or not is_before.any():
            continue
        if action.kind is ActionKind.SPLIT:
            prices[is_before] /= float(action.value)
            volumes[is_before] *= float(action.value)
        else:
            prices[is_before] *= _left_after(action, bars, is_before)
    adjusted = bars.assign(factor=prices)
    adjusted[_PRICES] = bars[_PRICES].to_numpy() * prices[:, np.newaxis]
    adjusted["volume"] = bars["volume"].to_numpy() * volumes
    return adjusted


def _left_after(
    action: CorporateAction, bars: pd.DataFrame, is_before: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> float:
    """The part of the price that was left, by the last close in the shares of then."""
    close = float(bars["close"].to_numpy()[np.flatnonzero(is_before)[-1]])
    if not close > float(action.value):
        raise DataError(f"cash {action.value} of conid {action.conid} on {action.day}: the close before it is {close}")
    return 1.0 - float(action.value) / close

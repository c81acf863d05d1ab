"""What a backtest comes to, as values: trades, what is still open, orders that did not open, and the equity line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from ibkr_assets.backtest.account import TRADE, ZERO_SIZE
from ibkr_assets.features.frame import Floats

if TYPE_CHECKING:
    from ibkr_assets.backtest.oversight import DeniedOrder


class Trade(NamedTuple):
    """A position from its opening to its closing. Bars count from 0; money in USD; `commission` is of both orders."""

    symbol: str
    direction: int
    size: float
    entry_bar: int
    exit_bar: int
    entry_time: np.datetime64
    exit_time: np.datetime64
    entry_price: float
    exit_price: float
    commission: float
    pnl_net: float


#: Trades as columns, dtype `account.TRADE`.
Records = npt.NDArray[np.void]


class Trades(Sequence[Trade]):
    """Trades as columns, which are values only for those who look at one; `places` are those of their instruments."""

    def __init__(
        self,
        records: Records,
        places: npt.NDArray[np.int64],
        symbols: Sequence[str],
        times: Sequence[npt.NDArray[np.datetime64]],
    ) -> None:
        self.records, self.places, self._symbols, self._times = records, places, symbols, times

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, at: int) -> Trade: ...
    @overload
    def __getitem__(self, at: slice) -> Trades: ...
    def __getitem__(self, at: int | slice) -> Trade | Trades:
        if isinstance(at, slice):
            return Trades(self.records[at], self.places[at], self._symbols, self._times)
        place = range(len(self))[at]
        return next(iter(self[place : place + 1]))

    def __iter__(self) -> Iterator[Trade]:
        for place, row in zip(self.places.tolist(), self.records.tolist(), strict=True):
            direction, size, entry_bar, exit_bar, *money = row
            times = self._times[place]
            yield Trade(
                self._symbols[place], direction, size, entry_bar, exit_bar, times[entry_bar], times[exit_bar], *money
            )

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Trades | list) else NotImplemented

    __hash__ = None  # type: ignore[assignment] # equal ones may differ in their columns


def records_of(trades: Sequence[Trade]) -> Records:
    """The trades as columns."""
    if isinstance(trades, Trades):
        return trades.records
    return np.array([(t.direction, t.size, t.entry_bar, t.exit_bar, *t[7:]) for t in trades], dtype=TRADE)


def why_not(why: int, shares: float, price: float, free: float) -> str:
    """In words why an opening was not made."""
    if why == ZERO_SIZE:
        return "the size is zero"
    return f"{shares:g} shares at {price:g} are worth more than the free cash of {free:.2f}"


class OpenPosition(NamedTuple):
    """A position that nothing has closed; `commission` is of its opening."""

    symbol: str
    direction: int
    size: float
    entry_bar: int
    entry_time: np.datetime64
    entry_price: float
    commission: float


class NotOpened(NamedTuple):
    """An opening that was wanted at a bar's open and was not made, and why; counted once until it is wanted anew."""

    symbol: str
    bar: int
    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """Everything a run did. `equity` and `exposed` (whether anything is held) are after the fills of each of `times`.

    `traded_usd` is the value of all fills, opening and closing. `denied` is None where no rules were heard.
    """

    starting_cash: float
    trades: Sequence[Trade]
    open_positions: list[OpenPosition]
    not_opened: list[NotOpened]
    times: npt.NDArray[np.datetime64]
    equity: Floats
    exposed: npt.NDArray[np.bool_]
    traded_usd: float
    denied: list[DeniedOrder] | None = None

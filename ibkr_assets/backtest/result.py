"""What a backtest comes to, as values: trades, what is still open, orders that did not open, and the equity line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

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
    trades: list[Trade]
    open_positions: list[OpenPosition]
    not_opened: list[NotOpened]
    times: npt.NDArray[np.datetime64]
    equity: Floats
    exposed: npt.NDArray[np.bool_]
    traded_usd: float
    denied: list[DeniedOrder] | None = None

"""The backtest's convention written out bar by bar in exact fractions: slow, and without a line of the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor

Money = Fraction


@dataclass
class Book:
    """One account and one instrument."""

    cash: Money
    commission: Callable[[Money, Money], Money]
    slippage: Money = Fraction(0)
    held: int = 0
    entry: tuple[int, Money, Money] | None = None
    trades: list[tuple[int, int, int, int, Money, Money, Money, Money]] = field(default_factory=list)

    def fill(self, shares: int, price: Money) -> Money:
        fee = self.commission(abs(Fraction(shares)), price)
        self.cash -= shares * price + fee
        self.held += shares
        return fee

    def at_market(self, shares: int, price: Money) -> tuple[Money, Money]:
        worse = price * (1 + self.slippage if shares > 0 else 1 - self.slippage)
        return worse, self.fill(shares, worse)

    def close(self, bar: int, price: Money, *, is_limit: bool = False) -> None:
        assert self.entry is not None
        size, (entry_bar, entry_price, entry_fee) = self.held, self.entry
        price, fee = (price, self.fill(-size, price)) if is_limit else self.at_market(-size, price)
        fees = entry_fee + fee
        pnl = size * (price - entry_price) - fees
        side = 1 if size > 0 else -1
        self.trades.append((side, abs(size), entry_bar, bar, entry_price, price, fees, pnl))
        self.entry = None


def replay(
    bars: Sequence[tuple[Money, Money, Money, Money]],
    wanted: Sequence[int],
    book: Book,
    *,
    shares: int | None = None,
    percent: int | None = None,
    stop: Money | None = None,
    target: Money | None = None,
) -> list[Money]:
    """Equity after each bar (open, high, low, close). Sizes: `shares`, or `percent` of cash at the open."""
    equity = []
    is_done = False  # stopped or at its target: nothing more until another direction is wanted
    levels: tuple[Money, Money] | None = None
    for t, (opened, high, low, close) in enumerate(bars):
        if t > 0:
            want, before = wanted[t - 1], wanted[t - 2] if t > 1 else 0
            if want != before:
                is_done = False
            sign = (book.held > 0) - (book.held < 0)
            if sign not in (0, want):
                book.close(t, opened)
                levels = None
            if want and not book.held and not is_done:
                size = shares if shares is not None else floor(book.cash * Fraction(percent or 0, 100) / opened)
                if size > 0 and size * opened <= book.cash:
                    price, fee = book.at_market(want * size, opened)
                    book.entry = (t, price, fee)
                    if stop is not None and target is not None:
                        decided = bars[t - 1][3]
                        levels = decided * (1 - want * stop), decided * (1 + want * target)
            if book.held and levels is not None:
                side = 1 if book.held > 0 else -1
                adverse, good = (low, high) if side > 0 else (high, low)
                if (levels[0] - adverse) * side >= 0:
                    book.close(t, min(opened * side, levels[0] * side) * side)
                    levels, is_done = None, True
                elif (good - levels[1]) * side >= 0:
                    book.close(t, max(opened * side, levels[1] * side) * side, is_limit=True)
                    levels, is_done = None, True
        equity.append(book.cash + book.held * close)
    return equity

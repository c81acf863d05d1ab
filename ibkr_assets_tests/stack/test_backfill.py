"""Symbols are split into parts that together are all of them, and no part is empty."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.errors import InputError
from ibkr_assets.stack.backfill import split

SYMBOLS = st.lists(st.text("ABCDE", min_size=1, max_size=3), min_size=1, max_size=40)


@given(SYMBOLS, st.integers(1, 60))
def test_parts_hold_every_symbol_once_and_are_nearly_equal(symbols: list[str], parts: int) -> None:
    made = split(symbols, parts)
    assert sorted(symbol for part in made for symbol in part) == sorted(set(symbols))
    sizes = [len(part) for part in made]
    assert 0 < min(sizes) <= max(sizes) <= min(sizes) + 1
    assert len(made) <= parts


def test_nothing_to_do_is_said() -> None:
    with pytest.raises(InputError, match="symbols: none to backfill"):
        split([], 2)
    with pytest.raises(InputError, match="runs: at least 1, got 0"):
        split(["A"], 0)

"""A tape of hundreds of symbols made of the real bars of four, and a strategy that trades all of them.

Symbol number k of AAPL has, at each session, AAPL's bar of 5 k sessions earlier, and so for GOOG, IBM and MSFT: real
bars at other days. They are taken from after the last split of the four, so that no price moves by more than the
market moved it.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml

BASES = ("AAPL", "GOOG", "IBM", "MSFT")
#: The tape's first and last day; 5 * 124 sessions before the first one is March of 2009, after all splits.
FIRST, LAST = "2012-01-03", "2013-03-01"
STEP_SESSIONS = 5
COLUMNS = ["open", "high", "low", "close", "volume"]


def symbols_of(count: int) -> list[str]:
    """So many names: a base and a letter pair, in order."""
    letters = [a + b for a in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for b in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    return sorted(f"{BASES[number % len(BASES)][0]}{letters[number // len(BASES)]}Q" for number in range(count))


def write_tape(directory: Path, symbols: list[str]) -> None:
    """One Parquet file of all symbols: opened_at (a date), the five values and `symbol`."""
    from bokeh_sampledata import stocks

    directory.mkdir()
    by_letter = {base[0]: pd.DataFrame(getattr(stocks, base)).set_index("date")[COLUMNS] for base in BASES}
    parts = []
    for symbol in symbols:
        letter, pair = symbol[0], symbol[1:3]
        place = (ord(pair[0]) - ord("A")) * 26 + ord(pair[1]) - ord("A")
        moved = by_letter[letter].shift(STEP_SESSIONS * place)
        wanted = moved[(moved.index >= FIRST) & (moved.index <= LAST)]
        parts.append(wanted.assign(symbol=symbol).rename_axis("opened_at").reset_index())
    pd.concat(parts, ignore_index=True).to_parquet(directory / "bars.parquet")


def strategies_file(symbols: list[str]) -> str:
    """One strategy of all symbols, a share each."""
    record = {
        "id": "sma_cross_many", "kind": "sma_cross", "params": {"fast": 10, "slow": 30}, "symbols": symbols,
        "bar_size": "1d", "schedule": "after_close", "sizing": "fixed:1", "enabled": True,
    }  # fmt: skip
    return yaml.safe_dump([record])

"""Feature rows that are stored already, and what comes again of the same bars under another name.

What goes here: telling whether two inputs are the same up to a row's own bar. What does not: what an input is
(`feature_inputs`). A day by itself and a range that it is part of name their bars differently; where both mean the same
bars, the stored row stays as it is.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from ibkr_assets.adapters.postgres.connection import Connection

STORED = """
select conid, (extract(epoch from opened_at) * 1000000)::bigint, input_sha256 from research.feature
where conid = any(%(conids)s) and bar_size = %(size)s and feature_digest = %(digest)s
  and opened_at >= %(first)s and opened_at <= %(last)s
"""
BARS = """
select f.sha256, l.opened_us, l.versions
from research.feature_input f, unnest(f.lists) with ordinality as n (sha256, place)
join research.bar_list l using (sha256)
where f.sha256 = any(%s) order by f.sha256, n.place
"""
ACTIONS = "select sha256, actions from research.feature_input where sha256 = any(%s)"
_EVER = np.iinfo(np.int64).max


def stored_names(connection: Connection, arguments: dict[str, Any]) -> dict[tuple[int, int], str | None]:
    """The inputs' names of stored rows by conid and opening (microseconds since 1970).

    `arguments`: conids, size, digest, and the openings `first` and `last`.
    """
    rows = connection.execute(STORED, arguments).fetchall()
    return {(conid, opened_us): name for conid, opened_us, name in rows}


def agree_until(connection: Connection, pairs: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """For each pair of names the instant (microseconds since 1970) before which they mean the same bars and actions."""
    names = sorted({name for pair in pairs for name in pair})
    bars: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
    for name, opened_us, versions in connection.execute(BARS, (names,)).fetchall():
        bars[name] += zip(opened_us, versions, strict=True)
    actions: dict[str, list[list[str]]] = dict(connection.execute(ACTIONS, (names,)).fetchall())
    return {(a, b): min(_first_bar(bars[a], bars[b]), _first_action(actions[a], actions[b])) for a, b in pairs}


def _first_bar(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> int:
    for a, b in zip_longest(one, other):
        if a != b:
            return min(bar[0] for bar in (a, b) if bar is not None)
    return _EVER


def _first_action(one: list[list[str]], other: list[list[str]]) -> int:
    for a, b in zip_longest(one, other):
        if a != b:
            day = min(date.fromisoformat(action[0]) for action in (a, b) if action is not None)
            return round(datetime.combine(day, time(), tzinfo=UTC).timestamp()) * 1_000_000
    return _EVER


def hex_bytes(name: str) -> npt.NDArray[np.uint8]:
    """A name as it is sent to a text column."""
    return np.frombuffer(name.encode(), dtype=np.uint8)

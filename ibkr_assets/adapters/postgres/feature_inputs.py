"""Which bar versions a feature row was computed from: every one since the first, without storing each list again.

What goes here: the lists, one for each instrument and year (month, in the year of its newest bar), named by their
content, and the name of all lists of a run together. What does not: the features (`features`). A row rests on the bars
of its lists that opened up to its own, so that one name serves all rows of a run; rows that were corrected or released
since are told apart by version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ibkr_assets.adapters.postgres.bar_rows import microseconds
from ibkr_assets.adapters.postgres.connection import Connection
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.features.state import Actions, FeatureInputs, FeatureState

Ints = npt.NDArray[np.int64]

SAVE_LISTS = """
insert into research.bar_list (sha256, conid, bar_size, opened_us, versions)
select n.sha256, n.conid, %(size)s, n.opened_us::bigint[], n.versions::integer[]
from unnest(%(shas)s::text[], %(conids)s::bigint[], %(opened)s::text[], %(versions)s::text[])
  as n (sha256, conid, opened_us, versions)
order by n.sha256
on conflict do nothing
"""
SAVE_INPUTS = """
insert into research.feature_input (sha256, lists, actions)
select n.sha256, n.lists::text[], n.actions::jsonb
from unnest(%(shas)s::text[], %(lists)s::text[], %(actions)s::text[]) as n (sha256, lists, actions)
order by n.sha256
on conflict do nothing
"""


@dataclass(slots=True)
class SavedInputs:
    """Inputs by instrument: the name (SHA-256, hex), and the opening of the last bar in microseconds since 1970."""

    names: dict[int, str] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Found:
    """Lists by name (conid, openings, versions), and inputs by name: the names of their lists, and actions."""

    lists: dict[str, tuple[int, Ints, Ints]] = field(default_factory=dict)
    inputs: dict[str, tuple[tuple[str, ...], Actions]] = field(default_factory=dict)


def save_inputs(connection: Connection, inputs: FeatureInputs, size: BarSize) -> SavedInputs:
    """Keep which bar versions and actions the features of each instrument rest on."""
    bars = inputs.bars
    conids, opened = bars["conid"].to_numpy(dtype=np.int64), microseconds(bars["opened_at"])
    versions = bars["version"].to_numpy(dtype=np.int64)
    packed = pack_rows(opened, versions, bars["row_sha"].tolist())
    found, saved = _Found(), SavedInputs()
    edges = [*np.flatnonzero(np.diff(conids, prepend=-1)).tolist(), conids.size]
    for first, last in pairwise(edges):
        conid = int(conids[first])
        state = inputs.start.states.get(conid)
        begin, kept = list_begin(opened[first:last], state)
        lists = list(kept)
        for start, end in pairwise([*_starts(opened[first + begin : last]), last - first - begin]):
            rows = slice(first + begin + start, first + begin + end)
            name = list_sha256(size, conid, packed[rows])
            found.lists[name] = (conid, opened[rows], versions[rows])
            lists.append(name)
        actions = inputs.actions.get(conid, ())
        name = input_sha256(lists, actions)
        found.inputs[name] = (tuple(lists), actions)
        saved.names[conid], saved.ends[conid] = name, int(opened[last - 1])
    _save(connection, found, size)
    return saved


def list_begin(opened: Ints, state: FeatureState | None) -> tuple[int, tuple[str, ...]]:
    """The row from which on lists are made anew, and the names of those before it, which the state has.

    Anew is the list of the state's month, or, where the newest bar is of a later year, those of the state's year.
    """
    if state is None:
        return 0, ()
    at = np.datetime64(state.opened_at.replace(tzinfo=None), "us")
    moments = opened.view("datetime64[us]")
    is_same_year = moments[-1].astype("datetime64[Y]") == at.astype("datetime64[Y]")
    since = at.astype("datetime64[M]" if is_same_year else "datetime64[Y]").astype("datetime64[us]")
    begin = int(np.searchsorted(moments, since))
    own = moments[begin : int(np.searchsorted(moments, at, side="right"))].astype("datetime64[M]")
    return begin, state.lists[: len(state.lists) - np.unique(own).size]


def _starts(opened: Ints) -> list[int]:
    """Where a year begins, and in the year of the last bar where a month does."""
    moments = opened.view("datetime64[us]")
    years, months = moments.astype("datetime64[Y]").astype(np.int64), moments.astype("datetime64[M]").astype(np.int64)
    keys = np.where(years == years[-1], months, years - years[-1] - 1)
    return np.flatnonzero(np.diff(keys, prepend=keys[0] - 1)).tolist()


def pack_rows(opened_us: Ints, versions: Ints, shas: list[str]) -> npt.NDArray[np.void]:
    """Opening, version and hash of each bar as 48 bytes, big-endian."""
    packed = np.zeros(len(opened_us), dtype=[("opened_us", ">i8"), ("version", ">i8"), ("sha", "V32")])
    packed["opened_us"], packed["version"] = opened_us, versions
    packed["sha"] = np.frombuffer(bytes.fromhex("".join(shas)), dtype="V32")
    return packed


def list_sha256(size: BarSize, conid: int, packed: npt.NDArray[np.void]) -> str:
    """SHA-256 (hex) that names a list of bar versions."""
    return hashlib.sha256(f"{size.value}|{conid}|".encode() + packed.tobytes()).hexdigest()


def input_sha256(lists: Sequence[str], actions: Actions) -> str:
    """SHA-256 (hex) that names lists and actions together."""
    return hashlib.sha256("\n".join([*lists, *("|".join(action) for action in actions)]).encode()).hexdigest()


def _save(connection: Connection, found: _Found, size: BarSize) -> None:
    known = connection.execute(
        "select sha256 from research.bar_list where sha256 = any(%s)", (list(found.lists),)
    ).fetchall()
    is_known = {name for (name,) in known}
    new = {name: values for name, values in found.lists.items() if name not in is_known}
    arguments = {
        "size": size.value, "shas": list(new), "conids": [conid for conid, _, _ in new.values()],
        "opened": [_literal(opened) for _, opened, _ in new.values()],
        "versions": [_literal(versions) for _, _, versions in new.values()],
    }  # fmt: skip
    connection.execute(SAVE_LISTS, arguments)
    inputs = {
        "shas": list(found.inputs),
        "lists": ["{" + ",".join(lists) + "}" for lists, _ in found.inputs.values()],
        "actions": [json.dumps(actions) for _, actions in found.inputs.values()],
    }
    connection.execute(SAVE_INPUTS, inputs)


def _literal(numbers: Ints) -> str:
    return "{" + ",".join(map(str, numbers.tolist())) + "}"

"""Which bar versions a feature row was computed from: every one since the first, without storing each list again.

What goes here: the lists, one for each instrument and year, named by their content, and the name of a row's lists
together. What does not: the features (`features`). The years before are the same list for every row of a year, so a
session adds one list an instrument; rows that were corrected or released since are told apart by version.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from ibkr_assets.adapters.postgres.bar_rows import microseconds
from ibkr_assets.adapters.postgres.connection import Connection
from ibkr_assets.domain.bar import BarSize

SAVE_LISTS = """
insert into research.bar_list (sha256, conid, bar_size, opened_us, versions)
select n.sha256, n.conid, %(size)s, n.opened_us::bigint[], n.versions::integer[]
from unnest(%(shas)s::text[], %(conids)s::bigint[], %(opened)s::text[], %(versions)s::text[])
  as n (sha256, conid, opened_us, versions)
order by n.sha256
on conflict do nothing
"""
SAVE_INPUTS = """
insert into research.feature_input (sha256, lists)
select n.sha256, n.lists::text[] from unnest(%(shas)s::text[], %(lists)s::text[]) as n (sha256, lists)
order by n.sha256
on conflict do nothing
"""


@dataclass(frozen=True, slots=True)
class _Found:
    """Lists by name (conid, openings, versions), and inputs by name: the names of their lists."""

    lists: dict[str, tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]] = field(default_factory=dict)
    inputs: dict[str, list[str]] = field(default_factory=dict)


def save_inputs(
    connection: Connection, features: pd.DataFrame, bars: pd.DataFrame, size: BarSize
) -> npt.NDArray[np.uint8]:
    """Keep which of `bars` each row of `features` rests on: all of its instrument up to its own. Returns n x 32 bytes.

    `bars` is ordered by conid and time, with `version` and `row_sha`.
    """
    conids, opened = bars["conid"].to_numpy(dtype=np.int64), microseconds(bars["opened_at"])
    versions = bars["version"].to_numpy(dtype=np.int64)
    packed = pack_rows(opened, versions, bars["row_sha"].tolist())
    wanted, until = features["conid"].to_numpy(dtype=np.int64), microseconds(features["opened_at"])
    found = _Found()
    names = np.zeros((len(features), 32), dtype=np.uint8)
    for conid in np.unique(wanted).tolist():
        own = np.flatnonzero(conids == conid)
        first, last = int(own[0]), int(own[-1]) + 1
        years = opened[first:last].view("datetime64[us]").astype("datetime64[Y]").astype(np.int64)
        starts = np.flatnonzero(np.diff(years, prepend=years[0] - 1)) + first
        for row in np.flatnonzero(wanted == conid).tolist():
            stop = first + int(np.searchsorted(opened[first:last], until[row], side="right"))
            edges = [*starts[starts < stop].tolist(), stop]
            lists = []
            for start, end in pairwise(edges):
                name = list_sha256(size, conid, packed[start:end])
                found.lists[name] = (conid, opened[start:end], versions[start:end])
                lists.append(name)
            names[row] = _name_input(found, lists)
    _save(connection, found, size)
    return names


def pack_rows(
    opened_us: npt.NDArray[np.int64], versions: npt.NDArray[np.int64], shas: list[str]
) -> npt.NDArray[np.void]:
    """Opening, version and hash of each bar as 48 bytes, big-endian."""
    packed = np.zeros(len(opened_us), dtype=[("opened_us", ">i8"), ("version", ">i8"), ("sha", "V32")])
    packed["opened_us"], packed["version"] = opened_us, versions
    packed["sha"] = np.frombuffer(bytes.fromhex("".join(shas)), dtype="V32")
    return packed


def list_sha256(size: BarSize, conid: int, packed: npt.NDArray[np.void]) -> str:
    """SHA-256 (hex) that names a list of bar versions."""
    return hashlib.sha256(f"{size.value}|{conid}|".encode() + packed.tobytes()).hexdigest()


def _name_input(found: _Found, lists: list[str]) -> npt.NDArray[np.uint8]:
    digest = hashlib.sha256("\n".join(lists).encode())
    found.inputs[digest.hexdigest()] = lists
    return np.frombuffer(digest.digest(), dtype=np.uint8)


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
    inputs = {"shas": list(found.inputs), "lists": ["{" + ",".join(lists) + "}" for lists in found.inputs.values()]}
    connection.execute(SAVE_INPUTS, inputs)


def _literal(numbers: npt.NDArray[np.int64]) -> str:
    return "{" + ",".join(map(str, numbers.tolist())) + "}"

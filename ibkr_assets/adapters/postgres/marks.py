"""What the store knows of bars beside their values: delayed feeds, early arrival, altered rows, listing days.

What goes here: storing and finding it. What does not: what follows from it, which is `ingest.evidence`'s judgement.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

import numpy as np
import pandas as pd

from ibkr_assets.adapters.postgres.bar_rows import VALUES, microseconds, row_shas
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize

#: Delays are of current versions: the bars have just been stored.
SAVE_DELAYS = """
insert into md.bar_delay as old (conid, bar_size, opened_at, version, delay_s, availability, fetched_at)
select b.conid, b.bar_size, b.opened_at, b.version, d.delay_s, d.availability, %(now)s
from unnest(%(conids)s::bigint[], %(opened_us)s::bigint[], %(delays)s::int[], %(availabilities)s::text[])
  as d (conid, opened_us, delay_s, availability)
join md.bar b on b.conid = d.conid and b.bar_size = %(size)s and b.known_to is null
  and b.opened_at = 'epoch'::timestamptz + d.opened_us * interval '1 microsecond'
order by 1, 3
on conflict (conid, bar_size, opened_at, version) do update
  set delay_s = excluded.delay_s, availability = excluded.availability, fetched_at = excluded.fetched_at
  where old.confirmed_at is null
"""
CONFIRM = """
update md.bar_delay d set confirmed_at = %(now)s
from unnest(%(conids)s::bigint[], %(opened_us)s::bigint[]) as live (conid, opened_us), md.bar b
where d.confirmed_at is null and d.conid = live.conid and d.bar_size = %(size)s
  and d.opened_at = 'epoch'::timestamptz + live.opened_us * interval '1 microsecond'
  and b.conid = d.conid and b.bar_size = d.bar_size and b.opened_at = d.opened_at and b.version = d.version
  and b.known_to is null
"""
IS_DELAYED = "select exists (select from md.bar_delay where bar_size = %s and conid = any(%s) and confirmed_at is null)"
MARKS = """
select b.conid, (extract(epoch from b.opened_at) * 1000000)::bigint, b.version, b.known_from,
  d.version is not null, d.delay_s, d.fetched_at, coalesce(b.opened_at < i.listed_on at time zone 'UTC', false)
from md.bar b
join md.instrument i using (conid)
left join md.bar_delay d on d.conid = b.conid and d.bar_size = b.bar_size and d.opened_at = b.opened_at
  and d.version = b.version and d.confirmed_at is null
where b.conid = any(%(conids)s) and b.bar_size = %(size)s and b.opened_at >= %(first)s and b.opened_at <= %(last)s
  and b.known_to is null and (
    d.version is not null or b.known_from < b.opened_at + %(length)s
    or b.opened_at < i.listed_on at time zone 'UTC')
"""
COLUMNS = ("conid", "opened_us", "version", "known_from", "is_delayed", "delay_s", "fetched_at", "is_unlisted")


class PostgresMarks:
    """Marks of bar versions. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_delays(self, bars: pd.DataFrame, size: BarSize, *, now: datetime) -> None:
        """Mark the stored bars that came with a delay, and take the mark from those that have now come without one.

        `bars`: conid, opened_at, `availability` (the feed's own word, "" for a feed without delay), `delay_s` (NaN
        where the feed did not say). `now` is the market time of the fetch.
        """
        is_delayed = (bars["availability"] != "").to_numpy()
        delayed, live = bars[is_delayed], bars[~is_delayed]
        conids = sorted(set(bars["conid"].tolist()))
        with self._database.connect() as connection:
            if len(delayed):
                delays = [None if pd.isna(value) else int(value) for value in delayed["delay_s"]]
                arguments = _keys(delayed) | {
                    "size": size.value, "now": now, "delays": delays,
                    "availabilities": delayed["availability"].tolist(),
                }  # fmt: skip
                connection.execute(SAVE_DELAYS, arguments)
            found = connection.execute(IS_DELAYED, (size.value, conids)).fetchone()
            if len(live) and found is not None and found[0]:
                connection.execute(CONFIRM, _keys(live) | {"size": size.value, "now": now})

    def load_marks(self, bars: pd.DataFrame, size: BarSize) -> pd.DataFrame:
        """Bars among these versions of which the store knows more, by their place among `bars`.

        Columns `row`, `is_altered` (the values do not give the row's hash any more), `is_unlisted` (of a UTC day before
        the instrument's first), `known_from`, `is_delayed`, `delay_s`, `fetched_at`.
        """
        if bars.empty:
            return pd.DataFrame(columns=["row", "is_altered", *COLUMNS[3:]])
        opened_us = microseconds(bars["opened_at"])
        values = bars[list(VALUES)].to_numpy(dtype=np.float64)
        shas = row_shas(bars["conid"].to_numpy(dtype=np.int64), opened_us, values + 0.0, size)
        stored = np.frombuffer(bytes.fromhex("".join(bars["row_sha"])), dtype=np.uint8).reshape(len(bars), 32)
        key = pd.DataFrame({
            "conid": bars["conid"].to_numpy(), "opened_us": opened_us, "version": bars["version"].to_numpy(),
            "row": np.arange(len(bars)), "is_altered": (shas != stored).any(axis=1),
        })  # fmt: skip
        arguments = {
            "conids": sorted(set(bars["conid"].tolist())), "size": size.value, "length": size.length,
            "first": bars["opened_at"].min().to_pydatetime(), "last": bars["opened_at"].max().to_pydatetime(),
        }  # fmt: skip
        with self._database.connect() as connection:
            rows = connection.execute(MARKS, arguments).fetchall()
        marks = pd.DataFrame(rows, columns=list(COLUMNS))
        marked = key.merge(marks.astype({"conid": "int64", "opened_us": "int64", "version": "int64"}), how="left")
        for name in ("is_delayed", "is_unlisted"):
            marked[name] = marked[name].isin([True])
        return marked[marked["is_altered"] | marked["known_from"].notna()].drop(
            columns=["conid", "opened_us", "version"]
        )

    def save_listings(self, listings: Mapping[int, date]) -> None:
        """Since when known instruments are traded."""
        with self._database.connect() as connection:
            connection.cursor().executemany(
                "update md.instrument set listed_on = %s where conid = %s and listed_on is distinct from %s",
                [(day, conid, day) for conid, day in sorted(listings.items())],
            )


def _keys(bars: pd.DataFrame) -> dict[str, list[int]]:
    return {"conids": bars["conid"].tolist(), "opened_us": microseconds(bars["opened_at"]).tolist()}

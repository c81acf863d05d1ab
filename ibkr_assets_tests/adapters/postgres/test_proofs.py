"""The question what a signal rests on: the same hash as when bars were stored, and no more work than there are bars."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from psycopg import sql

from ibkr_assets.adapters.postgres import proofs
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Connection, Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.instrument import Instrument

START = datetime(1968, 5, 1, 13, 30, tzinfo=UTC)
NUMBERS = [float("nan"), -0.0, 5e-324, 0.1, 1 / 3, 123456789.123456, 1.7976931348623157e308, -2.5, float("inf")]
ALTERED = sql.SQL("select count(*) from md.bar b where b.row_sha <> {}").format(sql.SQL(proofs.ROW_SHA))


@pytest.mark.parametrize("size", [BarSize.DAY, BarSize.MINUTE])
def test_the_server_finds_the_hash_that_a_bar_was_stored_by(database: Database, size: BarSize) -> None:
    store = PostgresBars(database)
    store.save_instruments([Instrument(2**40 + 7, "X", "NYSE")])
    pairs = list(product(NUMBERS, NUMBERS))
    bars = pd.DataFrame(pairs, columns=["open", "close"]).assign(
        conid=2**40 + 7, symbol="X", high=NUMBERS * len(NUMBERS), low=NUMBERS[3], volume=NUMBERS[::-1] * len(NUMBERS),
        opened_at=pd.Series([START + timedelta(days=101 * n, microseconds=n) for n in range(len(pairs))]),
    )  # fmt: skip
    store.save_bars(bars, size, source="test", known_from=datetime(2013, 1, 1, tzinfo=UTC))
    with database.connect() as connection:
        assert connection.execute("select count(*) from md.bar").fetchone() == (len(pairs),)
        assert connection.execute(ALTERED).fetchone() == (0,)
        connection.execute("update md.bar set volume = 0.25 where opened_at = (select max(opened_at) from md.bar)")
        assert connection.execute(ALTERED).fetchone() == (1,)


INSTRUMENTS, BARS, READ = 60, 300, 61
MADE_UP = f"""
insert into md.instrument (conid, symbol, exchange, currency, tick, lot, resolved_at)
select n, 'S' || n, 'X', 'USD', 0.01, 1, now() from generate_series(1, {INSTRUMENTS}) as n;
insert into md.bar (conid, bar_size, opened_at, version, known_from, open, high, low, close, volume, source, row_sha)
select n, '1d', timestamptz '2012-01-01 14:30Z' + d * interval '1 day', 1, now(), 1, 1, 1, 1, 1, 'test', sha256('')
from generate_series(1, {INSTRUMENTS}) as n, generate_series(1, {BARS}) as d;
insert into md.bar_verdict (conid, bar_size, opened_at, version, verdict)
select conid, bar_size, opened_at, version, 'accepted' from md.bar;
create temporary table read as
select 1 as place, conid, bar_size, array_agg(opened_at order by opened_at) as opened_at,
  array_agg(version order by opened_at) as versions, max(opened_at) as last
from md.bar where opened_at > timestamptz '2012-01-01 14:30Z' + ({BARS} - {READ}) * interval '1 day'
group by conid, bar_size;
create temporary table wanted as
select place, conid, bar_size, last, null::text as feature_input, false as has_features from read limit 0;
"""
STATEMENTS = (proofs.INPUTS, proofs.UNREAD, "analyze inputs, unread", proofs.FAULTS)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def handled(connection: Connection, statement: str) -> float:
    """The most rows that any part of the statement's plan made or threw away."""
    (found,) = connection.execute(f"explain (analyze, timing off, format json) {statement}").fetchone()  # type: ignore[misc,arg-type]
    return max(
        float(np.sum([node.get(name, 0) for name in node if name.startswith(("Actual Rows", "Rows Removed"))]))
        * node["Actual Loops"]
        for node in nodes(found[0]["Plan"])
    )


@pytest.mark.parametrize("has_statistics", [True, False])
def test_no_part_of_the_question_handles_more_rows_than_there_are_bars(
    database: Database, *, has_statistics: bool
) -> None:
    """Where nobody ever decided on a bar, statistics say that none is left after the decisions; that is not so."""
    with database.connect() as connection:
        connection.execute(MADE_UP)
        if has_statistics:
            connection.execute("analyze")
        for statement in STATEMENTS:
            if statement.startswith("analyze"):
                connection.execute(statement)
            else:
                assert handled(connection, statement) <= 2 * INSTRUMENTS * BARS, statement

"""Arrays as binary COPY: what Postgres reads back is what was in them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ibkr_assets.adapters.postgres import copy_binary
from ibkr_assets.adapters.postgres.connection import Database

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NUMBERS = st.one_of(st.floats(allow_nan=False), st.just(math.nan))
ROWS = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1),
        st.integers(-2_000_000_000_000_000, 4_000_000_000_000_000),
        NUMBERS,
        st.tuples(NUMBERS, NUMBERS, NUMBERS),
        st.binary(min_size=4, max_size=4),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_what_goes_in_is_what_postgres_reads_back(database: Database, rows) -> None:
    ints, micros, floats, triples, digests = zip(*rows, strict=True)
    columns = [
        copy_binary.int8(np.array(ints, dtype=np.int64)),
        copy_binary.timestamptz(np.array(micros, dtype=np.int64)),
        copy_binary.float8(np.array(floats)),
        copy_binary.float8_array(np.array(triples).reshape(-1, 3)),
        copy_binary.bytea(np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 4)),
    ]
    with database.connect() as connection:
        connection.execute(
            "create temporary table x "
            "(i bigint, t timestamptz, f double precision, a double precision[], d bytea) on commit drop"
        )
        copy_binary.copy(connection, "copy x from stdin (format binary)", columns)
        read = connection.execute("select * from x").fetchall()
    assert read == [
        (i, EPOCH + timedelta(microseconds=us), none_for_nan(f), [none_for_nan(v) for v in triple], d)
        for i, us, f, triple, d in rows
    ]


def test_more_rows_than_one_chunk_arrive_in_order(database: Database, monkeypatch) -> None:
    monkeypatch.setattr(copy_binary, "CHUNK_ROWS", 7)
    values = np.arange(50.0)
    values[::3] = np.nan
    with database.connect() as connection:
        connection.execute("create temporary table x (f double precision) on commit drop")
        copy_binary.copy(connection, "copy x from stdin (format binary)", [copy_binary.float8(values)])
        read = [row[0] for row in connection.execute("select f from x")]
    assert read == [none_for_nan(v) for v in values]


def none_for_nan(value: float) -> float | None:
    return None if math.isnan(value) else value

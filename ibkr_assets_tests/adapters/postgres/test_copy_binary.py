"""Arrays as binary COPY: what Postgres reads back is what was in them."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors, sql

from ibkr_assets.adapters.postgres import copy_binary
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.errors import DataError

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


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 50])
def test_rows_are_read_in_order_however_they_are_cut(database: Database, monkeypatch, rows: int) -> None:
    monkeypatch.setattr(copy_binary, "CHUNK_BYTES", 60)
    query = sql.SQL(
        "select g, '2000-01-01Z'::timestamptz + g * interval '1 microsecond', g / 3.0::float8, sha256(g::text::bytea) "
        "from generate_series(1, %(rows)s::bigint) as g order by g"
    )
    with database.connect() as connection:
        read = copy_binary.read(connection, query, {"rows": rows}, {"i": ">i8", "t": ">i8", "f": ">f8", "d": "V32"})
    numbers = list(range(1, rows + 1))
    assert read["i"].tolist() == numbers
    assert copy_binary.since_1970(read["t"]).tolist() == [946_684_800_000_000 + number for number in numbers]
    assert read["f"].tolist() == [number / 3 for number in numbers]
    assert read["d"].tobytes() == b"".join(hashlib.sha256(str(number).encode()).digest() for number in numbers)


def test_a_failure_in_the_middle_of_the_rows_is_the_servers_own(database: Database) -> None:
    query = sql.SQL("select 1000 / (20000 - g) from generate_series(1, 20000) as g")
    with pytest.raises(errors.DivisionByZero), database.connect() as connection:
        copy_binary.read(connection, query, {}, {"i": ">i4"})
    with database.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_null_is_refused_where_none_was_announced(database: Database) -> None:
    query = sql.SQL("select nullif(g, 2)::bigint from generate_series(1, 3) as g")
    with pytest.raises(DataError, match="no whole number of rows of 14 bytes"), database.connect() as connection:
        copy_binary.read(connection, query, {}, {"i": ">i8"})

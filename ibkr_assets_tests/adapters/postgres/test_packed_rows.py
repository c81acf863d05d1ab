"""Rows packed by the server: what is unpacked is what was in them, and a hole is no silent shift."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from psycopg import errors, sql

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.packed_rows import FLOAT, INSTANT, INTEGER, SHA256, packed, read_packed
from ibkr_assets.domain.errors import DataError

KINDS = {"at": INSTANT, "third": FLOAT, "number": INTEGER, "sha": SHA256}
EXPRESSIONS = {
    "at": "'2000-01-01Z'::timestamptz + g * interval '1 microsecond'",
    "third": "g / 3.0::float8",
    "number": "g",
    "sha": "sha256(g::text::bytea)",
}


def query_of(rows: sql.SQL | sql.Composed, expressions: dict[str, str]) -> sql.Composed:
    columns = [packed(sql.SQL(expressions[name]), KINDS[name], sql.SQL("g")) for name in expressions]  # type: ignore[arg-type]
    return sql.SQL("select mod(g, 3)::bigint, {} from ({}) as x (g) group by 1 order by 1").format(
        sql.SQL(", ").join(columns), rows
    )


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 50])
def test_each_key_has_its_rows_in_order(database: Database, rows: int) -> None:
    query = query_of(sql.SQL("select generate_series(%(rows)s::int, 1, -1)"), EXPRESSIONS)
    with database.connect() as connection:
        read = read_packed(connection, query, {"rows": rows}, KINDS)
    own = {key: [n for n in range(1, rows + 1) if n % 3 == key] for key in range(3)}
    numbers = [n for key in range(3) for n in own[key]]
    assert read.keys.tolist() == [key for key in range(3) if own[key]]
    assert np.repeat(read.keys, read.counts).tolist() == [n % 3 for n in numbers]
    assert read.take("at").tolist() == [946_684_800_000_000 + n for n in numbers]
    assert read.take("third").tolist() == [n / 3 for n in numbers]
    assert read.take("number").tolist() == numbers
    assert read.take("sha").tolist() == [hashlib.sha256(str(n).encode()).hexdigest() for n in numbers]


def test_a_null_is_refused_where_none_was_announced(database: Database) -> None:
    query = query_of(sql.SQL("select generate_series(1, 9)"), {"number": "g", "third": "nullif(g, 4)::float8"})
    with pytest.raises(DataError, match="third has other than number has values"), database.connect() as connection:
        read_packed(connection, query, {}, {name: KINDS[name] for name in ("number", "third")})


def test_a_column_of_nulls_alone_is_refused(database: Database) -> None:
    query = query_of(sql.SQL("select 1"), {"number": "g", "third": "null::float8"})
    with pytest.raises(DataError, match="third"), database.connect() as connection:
        read_packed(connection, query, {}, {name: KINDS[name] for name in ("number", "third")})


def test_a_failure_in_the_middle_of_the_rows_is_the_servers_own(database: Database) -> None:
    query = query_of(sql.SQL("select generate_series(1, 20000)"), {"third": "1000 / (20000 - g)::float8"})
    with pytest.raises(errors.DivisionByZero), database.connect() as connection:
        read_packed(connection, query, {}, {"third": FLOAT})
    with database.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)

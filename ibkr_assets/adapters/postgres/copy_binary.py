"""Columns of numpy arrays as the bytes of Postgres' binary COPY, without a Python object for each value.

What goes here: the encoding (documented in the PostgreSQL manual under COPY, "Binary Format"). What does not: which
table they go to, and reading (`packed_rows`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import numpy as np
import numpy.typing as npt
import pandas as pd
from psycopg.copy import QueuedLibpqWriter

from ibkr_assets.adapters.postgres.connection import Connection

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

#: Rows encoded at a time: bounds the memory.
CHUNK_ROWS = 50_000

_EPOCH_US = 946_684_800_000_000  # 2000-01-01, where Postgres starts to count, in microseconds since 1970
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_FLOAT8_OID = 701


Part = tuple[Bytes, Mask | None]


@dataclass(frozen=True, slots=True)
class Column:
    """One field for every row. `part` encodes some of them: n x width bytes with the length before each value, and
    which bytes are sent, None for all.
    """

    rows: int
    part: Callable[[slice], Part]


def int8(values: npt.NDArray[np.int64]) -> Column:
    """A bigint column without nulls."""
    return Column(len(values), lambda rows: (_with_length(_big_endian(values[rows], ">i8")), None))


def int4(values: npt.NDArray[np.int64]) -> Column:
    """An integer column without nulls."""
    return Column(len(values), lambda rows: (_with_length(_big_endian(values[rows], ">i4")), None))


def timestamptz(microseconds: npt.NDArray[np.int64]) -> Column:
    """A timestamptz column from microseconds since 1970 UTC, without nulls."""
    return int8(microseconds - _EPOCH_US)


def float8(values: npt.NDArray[np.float64]) -> Column:
    """A double precision column; NaN becomes null."""
    return Column(len(values), lambda rows: _nullable(values[rows]))


def bytea(data: Bytes) -> Column:
    """A bytea column whose rows all have the same width, given as n x width bytes."""
    return Column(len(data), lambda rows: (_with_length(data[rows]), None))


def bytea_made(rows: int, make: Callable[[slice], Bytes]) -> Column:
    """The same, made when it is sent: `make` gives n x width bytes for some of the rows."""
    return Column(rows, lambda some: (_with_length(make(some)), None))


def words(values: npt.NDArray[np.object_]) -> Column:
    """A text column without nulls whose rows have few different values."""
    codes, distinct = pd.factorize(values)
    texts = [str(value).encode() for value in distinct]
    width = 4 + max(map(len, texts), default=0)
    fields = np.array(
        [list((len(text).to_bytes(4, "big") + text).ljust(width, b"\0")) for text in texts], dtype=np.uint8
    )
    sent = np.arange(width) < 4 + np.array([len(text) for text in texts])[:, None]
    is_even = bool(sent.all())
    return Column(len(values), lambda rows: (fields[codes[rows]], None if is_even else sent[codes[rows]]))


def constant(value: bytes, rows: int) -> Column:
    """A column of one value, given as Postgres sends it: UTF-8 for text, big-endian for numbers."""
    field = np.frombuffer(len(value).to_bytes(4, "big") + value, dtype=np.uint8)
    return Column(rows, lambda some: (np.broadcast_to(field, (len(range(*some.indices(rows))), field.size)), None))


def int4_bytes(value: int) -> bytes:
    """An integer as `constant` wants it."""
    return value.to_bytes(4, "big", signed=True)


def timestamptz_bytes(moment: datetime) -> bytes:
    """An aware instant as `constant` wants it."""
    return ((moment - _EPOCH) // timedelta(microseconds=1)).to_bytes(8, "big", signed=True)


def float8_array(values: npt.NDArray[np.float64]) -> Column:
    """A double precision[] column from an n x m matrix; NaN becomes a null element."""
    return Column(len(values), lambda rows: _array(values[rows]))


def _array(values: npt.NDArray[np.float64]) -> Part:
    rows, width = values.shape
    elements, sent = _nullable(values.reshape(-1))
    elements = elements.reshape(rows, width * 12)
    missing = np.isnan(values).sum(axis=1)
    head = np.empty((rows, 6), dtype=">i4")
    head[:, 0] = 20 + 12 * width - 8 * missing  # bytes of this field
    head[:, 1] = 1  # dimensions
    head[:, 2] = missing > 0
    head[:, 3] = _FLOAT8_OID
    head[:, 4] = width
    head[:, 5] = 1  # lower bound
    head_bytes = head.view(np.uint8).reshape(rows, 24)
    data = np.hstack([head_bytes, elements])
    if sent is None:
        return data, None
    return data, np.hstack([np.ones_like(head_bytes, dtype=np.bool_), sent.reshape(rows, width * 12)])


def encode(columns: Sequence[Column]) -> Iterator[bytes]:
    """The whole COPY stream, in pieces."""
    yield HEADER
    rows = columns[0].rows
    for start in range(0, rows, CHUNK_ROWS):
        part = slice(start, min(rows, start + CHUNK_ROWS))
        yield _encode_rows(part.stop - start, [column.part(part) for column in columns])
    yield TRAILER


def copy(connection: Connection, statement: LiteralString, columns: Sequence[Column]) -> None:
    """Run a `copy ... from stdin (format binary)` with these columns, all of one length.

    The server stores a piece while the next one is encoded.
    """
    cursor = connection.cursor()
    with cursor.copy(statement, writer=QueuedLibpqWriter(cursor)) as stream:
        for piece in encode(columns):
            stream.write(piece)


def _encode_rows(rows: int, parts: Sequence[Part]) -> bytes:
    count = np.broadcast_to(_big_endian(np.array([len(parts)]), ">i2"), (rows, 2))
    data: Bytes = np.hstack([count, *(part for part, _ in parts)])
    if all(mask is None for _, mask in parts):
        return data.tobytes()
    masks = (np.ones(part.shape, dtype=np.bool_) if mask is None else mask for part, mask in parts)
    sent: Bytes = data[np.hstack([np.ones((rows, 2), dtype=np.bool_), *masks])]
    return sent.tobytes()


def _nullable(values: npt.NDArray[np.float64]) -> Part:
    is_null = np.isnan(values)
    data = _with_length(_big_endian(values, ">f8"))
    if not is_null.any():
        return data, None
    data[is_null, :4] = 0xFF  # length -1, and no bytes follow
    sent = np.ones(data.shape, dtype=np.bool_)
    sent[is_null, 4:] = False
    return data, sent


def _with_length(data: Bytes) -> Bytes:
    rows, width = data.shape
    length = np.broadcast_to(_big_endian(np.array([width]), ">i4"), (rows, 4))
    return np.hstack([length, data])


def _big_endian(values: npt.NDArray[Any], dtype: str) -> Bytes:
    converted = np.ascontiguousarray(values, dtype=dtype)
    return converted.view(np.uint8).reshape(len(values), converted.dtype.itemsize)

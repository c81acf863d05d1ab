"""Columns of numpy arrays as the bytes of Postgres' binary COPY, without a Python object for each value.

What goes here: the encoding (documented in the PostgreSQL manual under COPY, "Binary Format"). What does not: which
table they go to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import numpy as np
import numpy.typing as npt

from ibkr_assets.adapters.postgres.connection import Connection

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

#: Rows encoded at a time: bounds the memory.
CHUNK_ROWS = 50_000

_EPOCH_US = 946_684_800_000_000  # 2000-01-01, where Postgres starts to count, in microseconds since 1970
_FLOAT8_OID = 701


@dataclass(frozen=True, slots=True)
class Column:
    """One field for every row, length prefix included: n x width bytes, and which of them are sent."""

    data: Bytes
    is_sent: Mask | None = None

    def __getitem__(self, rows: slice) -> Column:
        return Column(self.data[rows], None if self.is_sent is None else self.is_sent[rows])


def int8(values: npt.NDArray[np.int64]) -> Column:
    """A bigint column without nulls."""
    return Column(_with_length(_big_endian(values, ">i8")))


def timestamptz(microseconds: npt.NDArray[np.int64]) -> Column:
    """A timestamptz column from microseconds since 1970 UTC, without nulls."""
    return int8(microseconds - _EPOCH_US)


def float8(values: npt.NDArray[np.float64]) -> Column:
    """A double precision column; NaN becomes null."""
    return Column(*_nullable(values))


def bytea(data: Bytes) -> Column:
    """A bytea column whose rows all have the same width, given as n x width bytes."""
    return Column(_with_length(data))


def float8_array(values: npt.NDArray[np.float64]) -> Column:
    """A double precision[] column from an n x m matrix; NaN becomes a null element."""
    rows, width = values.shape
    elements, sent = _nullable(values.reshape(-1))
    elements, sent = elements.reshape(rows, width * 12), sent.reshape(rows, width * 12)
    missing = np.isnan(values).sum(axis=1)
    head = np.empty((rows, 6), dtype=">i4")
    head[:, 0] = 20 + 12 * width - 8 * missing  # bytes of this field
    head[:, 1] = 1  # dimensions
    head[:, 2] = missing > 0
    head[:, 3] = _FLOAT8_OID
    head[:, 4] = width
    head[:, 5] = 1  # lower bound
    head_bytes = head.view(np.uint8).reshape(rows, 24)
    return Column(np.hstack([head_bytes, elements]), np.hstack([np.ones_like(head_bytes, dtype=np.bool_), sent]))


def encode(columns: Sequence[Column]) -> Iterator[bytes]:
    """The whole COPY stream, in pieces."""
    yield HEADER
    rows = len(columns[0].data)
    for start in range(0, rows, CHUNK_ROWS):
        yield _encode_rows([column[start : start + CHUNK_ROWS] for column in columns])
    yield TRAILER


def copy(connection: Connection, statement: LiteralString, columns: Sequence[Column]) -> None:
    """Run a `copy ... from stdin (format binary)` with these columns, all of one length."""
    with connection.cursor().copy(statement) as stream:
        for piece in encode(columns):
            stream.write(piece)


def _encode_rows(columns: list[Column]) -> bytes:
    rows = len(columns[0].data)
    count = np.broadcast_to(_big_endian(np.array([len(columns)]), ">i2"), (rows, 2))
    data: Bytes = np.hstack([count, *(column.data for column in columns)])
    if all(column.is_sent is None for column in columns):
        return data.tobytes()
    masks = (np.ones(c.data.shape, dtype=np.bool_) if c.is_sent is None else c.is_sent for c in columns)
    sent: Bytes = data[np.hstack([np.ones((rows, 2), dtype=np.bool_), *masks])]
    return sent.tobytes()


def _nullable(values: npt.NDArray[np.float64]) -> tuple[Bytes, Mask]:
    is_null = np.isnan(values)
    data = _with_length(_big_endian(values, ">f8"))
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

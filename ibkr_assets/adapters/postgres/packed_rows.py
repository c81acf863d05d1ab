"""Many rows of fixed width read at once: the server packs each column of an instrument into one field.

What goes here: the SQL that packs and the arrays that come out, without a message or an object for each row. What does
not: writing rows (`copy_binary`), and which rows (each table's module). Packing costs the server less than sending row
by row does, and the library here has one row an instrument to take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import sql

from ibkr_assets.adapters.postgres.connection import Connection
from ibkr_assets.domain.errors import DataError

_EPOCH_US = 946_684_800_000_000  # 2000-01-01, where Postgres starts to count, in microseconds since 1970


@dataclass(frozen=True, slots=True)
class Kind:
    """How one value is packed: the function that writes it, and the numpy type of what it writes."""

    send: str
    dtype: str


FLOAT = Kind("float8send", ">f8")
#: Read as microseconds since 1970 UTC.
INSTANT = Kind("timestamptz_send", ">i8")
INTEGER = Kind("int4send", ">i4")
FLAG = Kind("boolsend", "?")
#: A bytea of 32 bytes; read as hex.
SHA256 = Kind("", "V32")


@dataclass(frozen=True, slots=True)
class PackedRows:
    """Rows by key: how many each has, and each column key after key. `take` empties a column."""

    keys: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    columns: Mapping[str, list[bytes] | list[str]]
    kinds: Mapping[str, Kind]

    def take(self, name: str) -> npt.NDArray[Any]:
        """A column in the machine's byte order, or of text (hex)."""
        kind, parts = self.kinds[name], [*self.columns[name]]
        self.columns[name].clear()
        if kind is SHA256:
            return np.array(parts, dtype=object)
        values = np.frombuffer(b"".join(parts), dtype=kind.dtype)
        values = values.astype(values.dtype.newbyteorder("="))
        return values + _EPOCH_US if kind is INSTANT else values


def packed(expression: sql.Composable, kind: Kind, order: sql.Composable) -> sql.Composed:
    """SQL for one packed column. The expression must never be null: the server would leave the value out."""
    value = sql.SQL("{}({})").format(sql.SQL(kind.send), expression) if kind.send else expression
    return sql.SQL("string_agg({}, ''::bytea order by {})").format(value, order)


def read_packed(
    connection: Connection, query: sql.Composed, arguments: Mapping[str, object], kinds: Mapping[str, Kind]
) -> PackedRows:
    """What a query gives whose rows are a bigint, the key, and one packed column for each of `kinds`, in their order.

    Raises DataError where the columns of a key do not have equally many values, as when one was null, and what the
    server raises in the middle of the rows.
    """
    keys: list[int] = []
    counts: list[int] = []
    columns: dict[str, Any] = {name: [] for name in kinds}
    adders = [(name, np.dtype(kind.dtype).itemsize, _adder(columns[name], kind)) for name, kind in kinds.items()]
    connection.execute("set local jit = off")  # compiling takes a third of the time of reading a million rows
    with connection.cursor().copy(sql.SQL("copy ({}) to stdout (format binary)").format(query), arguments) as stream:
        stream.set_types(["int8", *["bytea"] * len(kinds)])
        for key, *values in stream.rows():
            count = len(values[0] or b"") // adders[0][1]
            for (name, width, add), value in zip(adders, values, strict=True):
                if len(value or b"") != count * width:
                    raise DataError(f"rows: {name} has other than {adders[0][0]} has values; one of them was null")
                add(value or b"")
            keys.append(key)
            counts.append(count)
    return PackedRows(np.array(keys, dtype=np.int64), np.array(counts, dtype=np.int64), columns, kinds)


def _adder(column: list[Any], kind: Kind) -> Callable[[bytes], None]:
    """What keeps a part of a column. Text is made at once: the server is at work on the next part meanwhile."""

    def add_texts(part: bytes) -> None:
        text = part.hex()
        column.extend([text[at : at + 64] for at in range(0, len(text), 64)])

    return add_texts if kind is SHA256 else column.append

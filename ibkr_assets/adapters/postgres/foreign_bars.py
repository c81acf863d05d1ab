"""Bars that lie in somebody else's Postgres table, read row by row as they stand there.

What goes here: the one statement, in a transaction that cannot write, by a cursor on the server; names of the mapping
reach the server as quoted identifiers and never as SQL. What does not: telling bars from rows that are none
(`ingest.bar_files`) and storing them. Everything that a driver might stumble over - infinite and naive times, numbers
too large for a float - is read as text, so that a bad row is a row with a reason and not the end of the reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors, sql

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.adapters.postgres.connection import Connection
    from ibkr_assets.adapters.source_settings import ForeignTableSettings

#: Rows that come over at a time.
FETCH_ROWS = 50_000
#: A table is not ours to index: reading a large one whole may take its time.
STATEMENT_TIMEOUT_S = 3600.0
_FIELDS = ("symbol", "time", "open", "high", "low", "close", "volume")
#: Types that are read as floats; all others are read as text, a `real` so that its 10.1 is 10.1.
_FLOATS = frozenset({"double precision", "smallint", "integer", "bigint"})
_WITH_ZONE, _WITHOUT_ZONE, _DATE = "timestamp with time zone", "timestamp without time zone", "date"
_TEXTS = frozenset({"text", "character varying", "character"})


class ForeignBars:
    """A table or view of bars. Nothing is ever written to it."""

    def __init__(self, table: ForeignTableSettings) -> None:
        self._table = table
        names = [name for name in (table.table_schema, table.table) if name is not None]
        self._from = sql.Identifier(*names)
        self._name = ".".join(names)
        self._database = Database(
            table.read_url(), application_name="ibkr-assets extract", statement_timeout_s=STATEMENT_TIMEOUT_S
        )

    def read(
        self,
        symbols: Sequence[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Iterator[pd.DataFrame]:
        """Rows by symbol and time in frames: symbol, opened_at (text), open, high, low, close, volume.

        Of all symbols or of these; opened in [start, end), both aware, where the column is a time. A row without a
        finite time is in every range, because nobody can say that it is not. Raises ConfigurationError for a table,
        a column or a right that is not there, and Unavailable when the server is away.
        """
        import pandas as pd

        try:
            with self._database.connect() as connection:
                connection.execute("set transaction isolation level repeatable read, read only")
                connection.execute("set local extra_float_digits = 3; set local datestyle = 'ISO, YMD'")
                types = self._types(connection)
                with connection.cursor(name="bars") as cursor:
                    cursor.execute(self._statement(types, symbols, start, end))
                    while rows := cursor.fetchmany(FETCH_ROWS):
                        columns = dict(zip(("symbol", "opened_at", *_FIELDS[2:]), zip(*rows, strict=True), strict=True))
                        yield pd.DataFrame(
                            {
                                name: pd.Series(values, dtype="float64" if types[name] in _FLOATS else "object")
                                for name, values in columns.items()
                            }
                        )
        except ConfigurationError as error:
            raise ConfigurationError(str(error).replace("database.url", "sources.postgres.url")) from None
        except (errors.UndefinedTable, errors.UndefinedColumn, errors.InsufficientPrivilege) as error:
            raise ConfigurationError(f"sources.postgres: {_first_line(error)}") from None
        except (errors.QueryCanceled, errors.LockNotAvailable) as error:
            raise Unavailable(f"sources.postgres: table {self._name}: {_first_line(error)}") from None

    def close(self) -> None:
        """Close what is kept open."""
        self._database.close()

    def _types(self, connection: Connection) -> dict[str, str]:
        """The type of each field's column, by our names."""
        names = self._table.columns.model_dump()
        cursor = connection.execute(
            sql.SQL("select {columns} from {table} limit 0").format(
                columns=sql.SQL(", ").join(sql.Identifier(names[field]) for field in _FIELDS), table=self._from
            )
        )
        oids = [column.type_code for column in cursor.description or ()]
        found = connection.execute(
            "select format_type(oid, null) from unnest(%s::oid[]) with ordinality as w (oid, place) order by place",
            (oids,),
        ).fetchall()
        types = {
            field if field != "time" else "opened_at": str(name)
            for field, (name,) in zip(_FIELDS, found, strict=True)
        }  # fmt: skip
        if types["opened_at"] not in {_WITH_ZONE, _WITHOUT_ZONE, _DATE, *_TEXTS}:
            raise ConfigurationError(
                f"sources.postgres.columns.time: {names['time']} is {types['opened_at']}, not a time; name a view"
            )
        return types

    def _statement(
        self, types: dict[str, str], symbols: Sequence[str] | None, start: datetime | None, end: datetime | None
    ) -> sql.Composed:
        # No parameter of the driver's is in it: a column may be named with a percent sign.
        names: dict[str, Any] = {k: sql.Identifier(v) for k, v in self._table.columns.model_dump().items()}
        selected = [sql.SQL("{}::text").format(names["symbol"]), self._moment(names["time"], types["opened_at"])]
        for field in _FIELDS[2:]:
            cast = "{}::float8" if types[field] in _FLOATS else "nullif({}::text, 'NaN')"
            selected.append(sql.SQL(cast).format(names[field]))
        where: list[sql.Composable] = [sql.SQL("true")]
        if symbols is not None:
            where.append(sql.SQL("{}::text = any({})").format(names["symbol"], sql.Literal(list(symbols))))
        if types["opened_at"] not in _TEXTS and (start is not None or end is not None):
            where.append(self._range(names["time"], types["opened_at"], start, end))
        return sql.SQL("select {} from {} where {} order by {}, {}").format(
            sql.SQL(", ").join(selected), self._from, sql.SQL(" and ").join(where), names["symbol"], names["time"]
        )

    def _moment(self, column: sql.Identifier, kind: str) -> sql.Composed:
        """The time as text: an instant with Z, a time without a zone, or, of a daily bar, the date that it means."""
        zone, is_daily = self._table.time_zone, self._table.bar_size is BarSize.DAY
        if kind == _WITH_ZONE and is_daily and zone is not None:
            return sql.SQL(
                "case when ({c} at time zone {z})::time = '00:00' then ({c} at time zone {z})::date::text "
                "else replace({c}::text, '+00', 'Z') end"
            ).format(c=column, z=sql.Literal(zone))
        if kind == _WITH_ZONE:
            return sql.SQL("replace({}::text, '+00', 'Z')").format(column)
        if kind == _WITHOUT_ZONE and is_daily:
            return sql.SQL("regexp_replace({}::text, ' 00:00:00$', '')").format(column)
        return sql.SQL("{}::text").format(column)

    def _range(self, column: sql.Identifier, kind: str, start: datetime | None, end: datetime | None) -> sql.Composed:
        """The rows that may be in the range: a day more on both sides where the column knows no zone."""
        margin = "'0'" if kind == _WITH_ZONE and self._table.bar_size is not BarSize.DAY else "'1 day'"
        bounds: list[sql.Composable] = [sql.SQL("true")]
        for word, moment in ((">= %s::timestamptz - interval %s", start), ("< %s::timestamptz + interval %s", end)):
            if moment is not None:
                bound = sql.SQL(word.replace("%s", "{}", 1).replace("%s", margin)).format(sql.Literal(moment))
                bounds.append(sql.SQL("{} {}").format(column, bound))
        return sql.SQL("({} is null or not isfinite({}) or {})").format(column, column, sql.SQL(" and ").join(bounds))


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

"""What was computed and decided on an instrument's bars: which partitions there are, and which rows are in them.

What goes here: the SQL. What does not: what a changed bar does to them (`ingest.impact`, `execution.impact`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from psycopg.rows import dict_row

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.signal import Direction, Signal
from ibkr_assets.ports import StrategyRecord

_VERSION = """
select open, high, low, close, volume, version, encode(row_sha, 'hex') as row_sha from md.bar
where conid = %(conid)s and bar_size = %(size)s and opened_at = %(opened_at)s
  and version = (select max(b.version) - 1 from md.bar b
    where b.conid = %(conid)s and b.bar_size = %(size)s and b.opened_at = %(opened_at)s)
"""
_FEATURE_DAYS = """
select distinct (opened_at at time zone 'UTC')::date from research.feature
where bar_size = %(size)s and feature_digest = %(digest)s and opened_at >= %(since)s and opened_at <= %(until)s
"""
_STRATEGIES = """
select id, version, kind, params, symbols, bar_size, schedule, sizing, risk, account, is_enabled,
  is_dry_run from research.strategy
where symbols @> array[%(symbol)s]
"""
_DECIDED = """
select distinct session_date, strategy_id, strategy_version from research.current_signal
where strategy_id = any(%(ids)s) and session_date >= %(since)s
"""
_SESSIONS = "select distinct session_date from research.signal where session_date >= %(since)s"
_SIGNALS = """
select strategy_id, strategy_version, conid, symbol, session_date, as_of, direction, strength, reference_price,
  feature_digest, input_digest, reason
from research.current_signal where strategy_id = any(%(ids)s) and session_date = any(%(days)s)
"""
#: An order that was planned on a signal of this strategy, session and instrument.
_ORDERS = """
select i.client_order_id, i.session_date, i.strategy_id, i.symbol from oms.order_intent i
where i.strategy_id = any(%(ids)s) and i.session_date = any(%(days)s) and i.symbol = any(%(symbols)s)
  and i.created_by <> 'intents add' order by i.session_date, i.strategy_id, i.symbol, i.leg, i.client_order_id
"""


class PostgresImpact:
    """Every method is one transaction that only reads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def version_before(self, conid: int, size: BarSize, opened_at: datetime) -> dict[str, Any] | None:
        """Values, version and hash of the version before a bar's current one; None for a bar never corrected."""
        with self._database.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(_VERSION, {"conid": conid, "size": size.value, "opened_at": opened_at}).fetchone()

    def feature_days(self, size: BarSize, digest: str, since: datetime, until: datetime) -> set[date]:
        """Days of which features are stored, whichever instrument's."""
        arguments = {"size": size.value, "digest": digest, "since": since, "until": until}
        with self._database.connect() as connection:
            return {day for (day,) in connection.execute(_FEATURE_DAYS, arguments).fetchall()}

    def strategies(self, symbol: str) -> dict[tuple[str, int], StrategyRecord]:
        """Every version of every strategy that looks at the symbol, by id and version."""
        with self._database.connect() as connection:
            rows = connection.execute(_STRATEGIES, {"symbol": symbol}).fetchall()
        versions: list[tuple[Any, ...]] = [(*row[:4], tuple(row[4]), *row[5:]) for row in rows]
        return {(row[0], row[1]): StrategyRecord(*row) for row in versions}

    def decided(self, ids: Sequence[str], since: date) -> list[tuple[date, str, int]]:
        """(session, strategy, version) of all signals from a session on."""
        with self._database.connect() as connection:
            return [tuple(row) for row in connection.execute(_DECIDED, {"ids": list(ids), "since": since}).fetchall()]

    def sessions(self, since: date) -> list[date]:
        """Sessions from this one on with any signal."""
        with self._database.connect() as connection:
            return sorted(day for (day,) in connection.execute(_SESSIONS, {"since": since}).fetchall())

    def signals(self, ids: Sequence[str], days: Sequence[date]) -> dict[tuple[date, str, str], Signal]:
        """The newest revisions, by session, strategy and symbol."""
        with self._database.connect() as connection:
            rows = connection.execute(_SIGNALS, {"ids": list(ids), "days": list(days)}).fetchall()
        values: list[tuple[Any, ...]] = [(*row[:6], Direction(row[6]), *row[7:]) for row in rows]
        found = [Signal(*row) for row in values]
        return {(one.session_date, one.strategy_id, one.symbol): one for one in found}

    def orders(self, ids: Sequence[str], days: Sequence[date], symbols: Sequence[str]) -> list[tuple[Any, ...]]:
        """(client order id, session, strategy, symbol) of all orders on any of these."""
        arguments = {"ids": list(ids), "days": list(days), "symbols": list(symbols)}
        with self._database.connect() as connection:
            return connection.execute(_ORDERS, arguments).fetchall()

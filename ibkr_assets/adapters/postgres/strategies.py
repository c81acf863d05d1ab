"""Strategies and their signals in Postgres: the `StrategyStore` of the system of record.

Both are append-only: a changed strategy is its next version, a signal with other content its next revision. What
does not go here: reading strategies from files (`adapters.strategies_file`) and making signals (`strategies`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

from psycopg import errors
from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.comparisons import save_comparisons
from ibkr_assets.adapters.postgres.connection import Connection, Database
from ibkr_assets.adapters.postgres.versions import RunningVersion
from ibkr_assets.domain.errors import InputError, LedgerConflict
from ibkr_assets.domain.lineage import Basis, Version
from ibkr_assets.domain.signal import Direction, Signal
from ibkr_assets.ports import StrategyRecord

LOAD_STRATEGIES = """
select id, version, kind, params, symbols, bar_size, schedule, sizing, risk, account, is_enabled,
  is_dry_run
from research.current_strategy
where (%(id)s::text is null or id = %(id)s) and (is_enabled or not %(is_enabled_only)s)
order by id
"""
LOAD_VERSIONS = """
select id, version, kind, params, symbols, bar_size, schedule, sizing, risk, account, is_enabled, is_dry_run,
  created_at, actor
from research.strategy where id = %s order by version
"""
SAVE_STRATEGY = """
insert into research.strategy
  (id, version, kind, params, symbols, bar_size, schedule, sizing, risk, account, is_enabled, is_dry_run, actor)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
# A signal is compared with its newest revision; numeric compares by value, so 12.50 is 12.5.
SAVE_SIGNALS = """
with n as (
  select * from jsonb_to_recordset(%(rows)s) as n (
    place integer, strategy_id text, strategy_version integer, conid bigint, symbol text, session_date date,
    as_of timestamptz, direction text, strength double precision, reference_price numeric, feature_digest text,
    input_digest text, reason text)),
written as (
  insert into research.signal (strategy_id, strategy_version, conid, symbol, session_date, revision, as_of, direction,
    strength, reference_price, feature_digest, input_digest, reason, dagster_run_id, mlflow_run_id)
  select n.strategy_id, n.strategy_version, n.conid, n.symbol, n.session_date, coalesce(c.revision, 0) + 1, n.as_of,
    n.direction, n.strength, n.reference_price, n.feature_digest, n.input_digest, n.reason, %(dagster_run_id)s,
    %(mlflow_run_id)s
  from n
  left join lateral (
    select * from research.signal s
    where s.strategy_id = n.strategy_id and s.session_date = n.session_date and s.conid = n.conid
    order by s.revision desc limit 1) as c on true
  where (c.strategy_version, c.symbol, c.as_of, c.direction, c.strength, c.reference_price, c.feature_digest,
         c.input_digest, c.reason)
    is distinct from (n.strategy_version, n.symbol, n.as_of, n.direction, n.strength, n.reference_price,
         n.feature_digest, n.input_digest, n.reason)
  order by n.place
  returning signal_id, strategy_id, session_date, conid)
select n.place, w.signal_id from written w join n using (strategy_id, session_date, conid)
"""
# The strategy is copied as it is now, and its features' bars are named only if the row is still the one that was read.
SAVE_BASES = """
insert into research.signal_basis (signal_id, kind, params, words, numbers, bar_size, opened_at, versions, shown,
  features, feature_input, version_sha256, mlflow_page, actions, comparison)
select n.signal_id, s.kind, s.params, n.words, n.numbers, '1d', n.opened_at::timestamptz[], n.versions::integer[],
  n.shown, n.features,
  (select f.input_sha256 from research.feature f where f.conid = n.conid and f.bar_size = '1d'
     and f.opened_at = n.newest and f.feature_digest = n.feature_digest
     and f."values" is not distinct from n."values"::double precision[]),
  %(version_sha256)s, %(mlflow_page)s, n.actions, n.comparison
from jsonb_to_recordset(%(rows)s) as n (
  signal_id bigint, strategy_id text, strategy_version integer, conid bigint, feature_digest text, words text,
  numbers jsonb, opened_at text, versions text, newest timestamptz, shown jsonb, features jsonb, "values" text,
  actions jsonb, comparison text)
join research.strategy s on s.id = n.strategy_id and s.version = n.strategy_version
"""
LOAD_SIGNALS = """
select strategy_id, strategy_version, conid, symbol, session_date, as_of, direction, strength, reference_price,
  feature_digest, input_digest, reason
from research.current_signal
where session_date between %s and %s and (%s::text is null or strategy_id = %s)
order by session_date, strategy_id, symbol
"""


@dataclass(frozen=True, slots=True)
class StrategyVersion:
    """One version of a strategy, when it was stored (aware UTC, the database's clock) and by whom."""

    record: StrategyRecord
    at: datetime
    actor: str


class PostgresStrategies:
    """Implements `ports.StrategyStore`. Every method is one transaction."""

    def __init__(self, database: Database, version: Callable[[], Version] | None = None) -> None:
        """`version` says what runs; it is asked when signals are stored."""
        self._database = database
        self._version = RunningVersion(database, version)

    def save_strategies(
        self, records: Sequence[StrategyRecord], *, actor: str, seen: Mapping[str, int] = MappingProxyType({})
    ) -> int:
        """Store those that differ from their newest version, each as the next one. Returns how many were written.

        The version of a record is not looked at: the database counts. `actor` is who did it, kept with the row. `seen`
        is, by id, the version that somebody had before them (0: none); raises LedgerConflict, and stores nothing,
        where it is another by now.
        """
        written = 0
        with self._database.connect() as connection:
            _lock(connection, "research.strategy")
            known = {record.id: record for record in self._load(connection)}
            for name, version in seen.items():
                now = known[name].version if name in known else 0
                if now != version:
                    raise LedgerConflict(f"{name} is at version {now} now, the page showed {version}; look again")
            for record in records:
                newest = known.get(record.id)
                version = newest.version if newest is not None else 0
                if newest is not None and newest == replace(record, version=version):
                    continue
                connection.execute(SAVE_STRATEGY, (record.id, version + 1, *_row(record), actor))
                known[record.id] = replace(record, version=version + 1)
                written += 1
        return written

    def strategies(self, *, is_enabled_only: bool = False) -> list[StrategyRecord]:
        """The newest version of every strategy, by id."""
        with self._database.connect() as connection:
            return self._load(connection, is_enabled_only=is_enabled_only)

    def strategy(self, strategy_id: str) -> StrategyRecord:
        """The newest version of one strategy. Raises InputError naming an id that is not known."""
        with self._database.connect() as connection:
            found = self._load(connection, strategy_id)
        if not found:
            raise _unknown(strategy_id)
        return found[0]

    def version(self, strategy_id: str, version: int) -> StrategyRecord:
        """One version of a strategy. Raises InputError naming what is not there."""
        history = self.history(strategy_id)
        if not 0 < version <= len(history):
            raise InputError(f"version {version}: strategy {strategy_id!r} has {len(history)}")
        return history[version - 1].record

    def history(self, strategy_id: str) -> list[StrategyVersion]:
        """Every version of one strategy, oldest first. Raises InputError naming an id that is not known."""
        with self._database.connect() as connection:
            rows = connection.execute(LOAD_VERSIONS, (strategy_id,)).fetchall()
        if not rows:
            raise _unknown(strategy_id)
        return [StrategyVersion(_record(row[:-2]), *row[-2:]) for row in rows]

    def save_signals(
        self,
        signals: Sequence[Signal],
        *,
        dagster_run_id: str,
        mlflow_run_id: str | None,
        mlflow_page: str | None = None,
        bases: Mapping[Signal, Basis] = MappingProxyType({}),
    ) -> int:
        """Store signals; the same decision again with the same content writes nothing. Returns signals written.

        Other content, say from a corrected bar, is the next revision. What a new one rests on is kept with it.
        Raises InputError naming a strategy version or an instrument that is not stored.
        """
        written = 0
        version = self._version.name() if bases else None
        of_run = {"dagster_run_id": dagster_run_id, "mlflow_run_id": mlflow_run_id}
        of_basis = {"mlflow_page": mlflow_page, "version_sha256": version}
        try:
            with self._database.connect() as connection:
                _lock(connection, "research.signal")
                for part in _apart(signals):
                    rows = [_signal_row(signal) | {"place": place} for place, signal in enumerate(part)]
                    new = connection.execute(SAVE_SIGNALS, of_run | {"rows": Jsonb(rows)}).fetchall()
                    written += len(new)
                    of_new = {place: bases[part[place]] for place, _ in new if part[place] in bases}
                    save_comparisons(connection, (one.comparison for one in of_new.values() if one.comparison))
                    rests_on = [
                        rows[place] | _basis_row(of_new[place]) | {"signal_id": signal_id}
                        for place, signal_id in new
                        if place in of_new
                    ]
                    connection.execute(SAVE_BASES, of_basis | {"rows": Jsonb(rests_on)})
        except errors.ForeignKeyViolation as error:
            raise InputError(f"signals: {error.diag.message_detail}") from None
        return written

    def signals(self, session_date: date, strategy_id: str | None = None, *, since: date | None = None) -> list[Signal]:
        """The newest revision of each signal of a session, or of all from `since` to it, by day, strategy, symbol."""
        with self._database.connect() as connection:
            rows = connection.execute(
                LOAD_SIGNALS, (since or session_date, session_date, strategy_id, strategy_id)
            ).fetchall()
        ordered: list[tuple[Any, ...]] = [(*row[:6], Direction(row[6]), *row[7:]) for row in rows]
        return [Signal(*values) for values in ordered]

    def _load(
        self, connection: Connection, strategy_id: str | None = None, *, is_enabled_only: bool = False
    ) -> list[StrategyRecord]:
        rows = connection.execute(LOAD_STRATEGIES, {"id": strategy_id, "is_enabled_only": is_enabled_only})
        return [_record(row) for row in rows]


def _record(row: Sequence[Any]) -> StrategyRecord:
    values: tuple[Any, ...] = (*row[:4], tuple(row[4]), *row[5:])
    return StrategyRecord(*values)


def _unknown(strategy_id: str) -> InputError:
    return InputError(f"strategy: no strategy {strategy_id!r}; `ibkr-assets strategies list` shows them")


def _lock(connection: Connection, name: str) -> None:
    """One writer at a time: versions and revisions are counted."""
    connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,))


def _row(record: StrategyRecord) -> tuple[Any, ...]:
    return (
        record.kind, Jsonb(record.params), list(record.symbols), record.bar_size, record.schedule, record.sizing,
        Jsonb(record.risk), record.account, record.is_enabled, record.is_dry_run,
    )  # fmt: skip


def _apart(signals: Sequence[Signal]) -> list[list[Signal]]:
    """The signals in parts that have each decision once: of the same decision, the later one is the next revision."""
    parts: list[dict[tuple[str, date, int], Signal]] = []
    for signal in signals:
        key = (signal.strategy_id, signal.session_date, signal.conid)
        part = next((part for part in parts if key not in part), None)
        if part is None:
            parts.append(part := {})
        part[key] = signal
    return [list(part.values()) for part in parts]


_SIGNAL_FIELDS = tuple(each.name for each in fields(Signal))


def _signal_row(signal: Signal) -> dict[str, Any]:
    return {
        **{name: getattr(signal, name) for name in _SIGNAL_FIELDS},
        "direction": signal.direction.value, "session_date": signal.session_date.isoformat(),
        "as_of": signal.as_of.isoformat(), "reference_price": str(signal.reference_price),
    }  # fmt: skip


def _basis_row(basis: Basis) -> dict[str, Any]:
    values = ("null" if value is None else repr(value) for value in basis.features.values())
    return {
        "words": basis.words, "numbers": basis.numbers, "shown": basis.shown, "features": basis.features,
        "values": f"{{{','.join(values)}}}", "newest": basis.bars[-1][0].isoformat(), "actions": basis.actions,
        "opened_at": f"{{{','.join(opened_at.isoformat() for opened_at, _ in basis.bars)}}}",
        "versions": f"{{{','.join(str(version) for _, version in basis.bars)}}}",
        "comparison": None if basis.comparison is None else basis.comparison.sha256,
    }  # fmt: skip

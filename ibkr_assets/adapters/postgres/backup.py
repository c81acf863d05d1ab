"""Backups of the platform's database, taken with what proves them.

What goes here: one backup is a directory with a dump of `pg_dump` and a manifest of what was in it, both read in one
snapshot. What does not: bringing it back (`restore`), when it is taken and where it is kept, and the write-ahead log,
whose archive is the server's (`docker-compose.yml`).

A dump is encrypted with age where a recipient is named: the key that opens it is never on the machine that makes it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from ibkr_assets.adapters.postgres.migrate import VERSION_SCHEMA, VERSION_TABLE
from ibkr_assets.adapters.postgres.programs import run_program
from ibkr_assets.domain.errors import ConfigurationError, DataError, InputError

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

#: A backup's directory, by the instant (UTC) when it was taken.
NAME = "ibkr_assets-%Y%m%dT%H%M%S.%fZ"
MANIFEST = "manifest.json"
DUMP, ENCRYPTED = "platform.dump", "platform.dump.age"
#: Tables whose rows are counted on both sides: what money depends on.
COUNTED = (
    "md.bar", "md.quarantine_decision", "research.strategy", "research.signal", "oms.order_intent", "oms.order_event",
    "oms.wire_call", "oms.execution", "oms.cash_event", "oms.position_event", "oms.risk_decision", "oms.control",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. `chain` is the seal of the newest order event, `sha256` that of the file."""

    taken_at: datetime
    revision: str
    server_version: str
    counts: dict[str, int]
    chain: tuple[int, str] | None
    file: str
    sha256: str
    size_bytes: int

    def as_text(self) -> str:
        """The manifest as a file holds it."""
        return json.dumps({**asdict(self), "taken_at": self.taken_at.isoformat()}, indent=2) + "\n"


def take_backup(database: Database, directory: Path, *, recipient: str | None = None) -> tuple[Path, Manifest]:
    """Write a backup into a new directory below `directory`, which appears when it is whole.

    `recipient` is an age public key. Raises InputError for one that is none, ConfigurationError when the directory
    cannot be written, Unavailable when the server does not give the dump.
    """
    _check_recipient(recipient)
    taken_at = datetime.now(UTC)
    with _workshop(directory) as workshop:
        dump = workshop / DUMP
        with database.open(is_autocommit=False) as connection:
            connection.execute("set transaction isolation level repeatable read, read only")
            connection.execute("set local idle_in_transaction_session_timeout = 0")  # as long as the dump takes
            snapshot = _one(connection.execute("select pg_export_snapshot()"))
            found, counts, chain = read_contents(connection)
            version = str(_one(connection.execute("show server_version")))
            run_program(
                "pg_dump", "--format=custom", "--no-owner", f"--snapshot={snapshot}", f"--file={dump}", url=database.url
            )
        run_program("pg_restore", "--list", str(dump), url=None)  # a dump that cannot be read is no backup
        kept = dump if recipient is None else _encrypt(dump, recipient)
        manifest = Manifest(
            taken_at, found, version, counts, chain, kept.name, _sha256(kept), kept.stat().st_size
        )  # fmt: skip
        (workshop / MANIFEST).write_text(manifest.as_text(), encoding="utf-8")
        _sync(workshop)
        target = directory / taken_at.strftime(NAME)
        workshop.rename(target)
    return target, manifest


def read_manifest(backup: Path) -> Manifest:
    """The manifest of a backup, and proof that its file is the one it speaks of.

    Raises InputError when there is none, DataError when the file is not as it was written.
    """
    path = backup / MANIFEST
    if not path.is_file():
        raise InputError(f"backup: no {MANIFEST} in {backup}")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        chain = None if told["chain"] is None else (int(told["chain"][0]), str(told["chain"][1]))
        manifest = Manifest(**{**told, "taken_at": datetime.fromisoformat(told["taken_at"]), "chain": chain})
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"backup: {path} is no manifest: {error}") from None
    file = backup / Path(manifest.file).name
    if not file.is_file():
        raise InputError(f"backup: {file} is missing")
    if _sha256(file) != manifest.sha256:
        raise DataError(f"backup: {file} is not what was written: its sha256 is {_sha256(file)}")
    return manifest


def read_contents(connection: psycopg.Connection[Any]) -> tuple[str, dict[str, int], tuple[int, str] | None]:
    """What proves a copy: the schema's revision, rows by table, and the newest order event with its seal."""
    table = f"{VERSION_SCHEMA}.{VERSION_TABLE}"
    if _one(connection.execute("select to_regclass(%s)", (table,))) is None:
        raise ConfigurationError("database: there is no schema to back up; run `ibkr-assets db migrate`")
    query = sql.SQL("select version_num from {}").format(sql.Identifier(VERSION_SCHEMA, VERSION_TABLE))
    found = str(_one(connection.execute(query)))
    counts = {}
    for name in COUNTED:
        schema, table = name.split(".")
        if connection.execute("select to_regclass(%s)", (name,)).fetchone() == (None,):
            continue  # an older schema has fewer tables
        query = sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table))
        counts[name] = int(_one(connection.execute(query)))
    row = connection.execute("select seq, encode(sha256, 'hex') from oms.order_event order by seq desc limit 1")
    newest = row.fetchone()
    return found, counts, None if newest is None else (int(newest[0]), str(newest[1]))


def _check_recipient(recipient: str | None) -> None:
    if recipient is not None:
        import pyrage

        try:
            pyrage.x25519.Recipient.from_str(recipient)
        except pyrage.RecipientError:
            raise InputError(f"recipient: no age public key: {recipient!r}") from None


def _encrypt(dump: Path, recipient: str) -> Path:
    import pyrage

    kept = dump.with_name(ENCRYPTED)
    pyrage.encrypt_file(str(dump), str(kept), [pyrage.x25519.Recipient.from_str(recipient)])
    dump.unlink()
    return kept


@contextmanager
def _workshop(directory: Path) -> Iterator[Path]:
    """A directory that is gone at the end unless it was renamed."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        workshop = Path(tempfile.mkdtemp(prefix=".taking-", dir=directory))
    except OSError as error:
        raise ConfigurationError(f"out: cannot write to {directory}: {error.strerror}") from None
    try:
        yield workshop
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _sync(directory: Path) -> None:
    for path in (*directory.iterdir(), directory):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _one(cursor: psycopg.Cursor[Any]) -> Any:
    row = cursor.fetchone()
    assert row is not None
    return row[0]

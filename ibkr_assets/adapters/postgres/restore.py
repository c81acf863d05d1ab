"""Bringing a backup back: into an empty database, killed in the same transaction, and compared with its manifest.

What goes here: the database. What does not: what the ledger then takes over from the broker (`execution.recovery`),
and taking backups (`backup`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import sql

from ibkr_assets.adapters.postgres.backup import DUMP, ENCRYPTED, Manifest, read_contents, read_manifest
from ibkr_assets.adapters.postgres.migrate import migrate
from ibkr_assets.adapters.postgres.programs import run_program
from ibkr_assets.domain.errors import DataError, InputError

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database


def restore_backup(database: Database, backup: Path, *, identity: Path | None = None, restored_by: str) -> Manifest:
    """Bring a backup back into an empty database, killed, at the schema of this code.

    Data and kill are one transaction: nothing can read the one without the other. Raises InputError when the database
    is not empty or the key is missing, ConfigurationError when a role of the backup is not there, DataError when what
    came back is not what was backed up; the database is then to be dropped.
    """
    manifest = read_manifest(backup)
    _check_empty(database)
    with tempfile.TemporaryDirectory(prefix="ibkr-assets-restore-") as directory:
        workshop = Path(directory)
        dump = _opened(backup / manifest.file, identity, workshop)
        script, kill = workshop / "data.sql", workshop / "kill.sql"
        run_program("pg_restore", "--no-owner", f"--file={script}", str(dump), url=None)
        kill.write_text(_kill_statement(manifest, restored_by), encoding="utf-8")
        run_program(
            "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction",
            f"--file={script}", f"--file={kill}", url=database.url,
        )  # fmt: skip
    _compare(database, manifest)
    migrate(database.url)
    with database.connect() as connection:
        connection.execute(
            "insert into oms.restoration (backup_taken_at, backup_sha256, backup_revision, restored_by) "
            "values (%s, %s, %s, %s)",
            (manifest.taken_at, manifest.sha256, manifest.revision, restored_by),
        )
    return manifest


def _check_empty(database: Database) -> None:
    with database.connect() as connection:
        names = connection.execute(
            "select nspname from pg_namespace where nspname !~ '^(pg_|information_schema$|public$)' order by 1"
        ).fetchall()
    if names:
        raise InputError(
            f"database: it has the schemas {', '.join(str(name) for (name,) in names)} already; a backup is restored "
            "into an empty database only"
        )


def _compare(database: Database, manifest: Manifest) -> None:
    with database.connect() as connection:
        found, counts, chain = read_contents(connection)
    counts["oms.control"] -= 1  # the kill that came with the data
    told = (manifest.revision, manifest.counts, manifest.chain)
    if (found, counts, chain) != told:
        raise DataError(f"backup: restored {(found, counts, chain)}, the manifest says {told}; drop this database")


def _kill_statement(manifest: Manifest, restored_by: str) -> str:
    reason = (
        f"the ledger was restored from a backup of {manifest.taken_at.isoformat(timespec='seconds')} by {restored_by}"
    )
    statement = sql.SQL(
        "insert into oms.control (scope, action, actor, session, reason) "
        "values ('global', 'kill', 'restore', 'restore', {});\n"
    ).format(sql.Literal(reason))
    return statement.as_string(None)


def _opened(file: Path, identity: Path | None, workshop: Path) -> Path:
    if file.name != ENCRYPTED:
        return file
    import pyrage

    if identity is None:
        raise InputError(f"identity: {file} is encrypted; name the file with its age key")
    lines = [line for line in identity.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    dump = workshop / DUMP
    try:
        pyrage.decrypt_file(str(file), str(dump), [pyrage.x25519.Identity.from_str(line.strip()) for line in lines])
    except (pyrage.IdentityError, pyrage.DecryptError) as error:
        raise InputError(f"identity: {identity} does not open {file}: {error}") from None
    return dump

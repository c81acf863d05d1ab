"""Bringing a database to the schema this code was written for, and telling when it is not.

What goes here: running Alembic through its Python interface, under a lock. What does not: the statements, which are
in `migrations/versions`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

#: Where the revision is kept; a schema of its own, because an outside database may hold other tools' tables.
VERSION_SCHEMA = "platform"
VERSION_TABLE = "schema_version"

_LOCK = 0x1B4B_A55E
_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(url: str) -> str:
    """Bring the database to the newest schema, in one transaction. Returns the revision.

    Two at once wait for each other. Raises ConfigurationError when the schema is newer than this code, Unavailable
    when the lock is not free within a minute.
    """
    import psycopg
    import sqlalchemy
    from alembic import command

    config = _config()
    with _begin(url) as connection:
        try:
            connection.exec_driver_sql("set local lock_timeout = '60s'")
            connection.exec_driver_sql(f"select pg_advisory_xact_lock({_LOCK})")
            connection.exec_driver_sql("set local lock_timeout = '5s'")
            _refuse_newer(config, _revision(connection))
            connection.exec_driver_sql(f"create schema if not exists {VERSION_SCHEMA}")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        except sqlalchemy.exc.OperationalError as error:
            if isinstance(error.orig, psycopg.errors.LockNotAvailable):
                raise Unavailable("the database is in use: a migration waits for other sessions; try again") from error
            raise
        return _revision(connection) or ""


def check(url: str) -> None:
    """Raise ConfigurationError unless the database has exactly the schema of this code."""
    config = _config()
    with _begin(url) as connection:
        found = _revision(connection)
    _refuse_newer(config, found)
    head = _head(config)
    if found != head:
        raise ConfigurationError(
            f"database: the schema is at revision {found or 'none'}, this version needs {head}; "
            "run `ibkr-assets db migrate`"
        )


@contextmanager
def _begin(url: str) -> Iterator[Connection]:
    import sqlalchemy

    database = Database(url, application_name="ibkr-assets migrate", statement_timeout_s=0, lock_timeout_s=5)
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: database.open(is_autocommit=False), poolclass=sqlalchemy.NullPool
    )
    with engine.begin() as connection:
        yield connection


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _head(config: Config) -> str:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(config).get_current_head() or ""


def _revision(connection: Connection) -> str | None:
    import sqlalchemy

    if connection.exec_driver_sql(f"select to_regclass('{VERSION_SCHEMA}.{VERSION_TABLE}')").scalar() is None:
        return None
    table = sqlalchemy.table(VERSION_TABLE, sqlalchemy.column("version_num"), schema=VERSION_SCHEMA)
    found = connection.execute(sqlalchemy.select(table.c.version_num)).scalar()
    return None if found is None else str(found)


def _refuse_newer(config: Config, found: str | None) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise ConfigurationError(
            f"database: the schema is at revision {found}, which this version of ibkr-assets does not know; "
            "install the version that wrote it, or a newer one"
        )

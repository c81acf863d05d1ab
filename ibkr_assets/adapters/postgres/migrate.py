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


def migrate(url: str, *, to: str = "head") -> str:
    """Bring the database to the newest schema, or forward to revision `to`, in one transaction. Returns the revision.

    Two at once wait for each other. Raises ConfigurationError when the schema is newer than this code, Unavailable
    when the lock is not free within a minute, and when there is something to change while somebody is armed to trade.
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
            found = _revision(connection)
            _refuse_newer(config, found)
            if found not in (None, _head(config)):
                _refuse_armed(connection)
            connection.exec_driver_sql(f"create schema if not exists {VERSION_SCHEMA}")
            config.attributes["connection"] = connection
            command.upgrade(config, to)
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


#: An arm that nothing has taken back yet; its table is there from the third revision on.
_ARMED = """
select c.scope || ' until ' || c.expires_at from oms.control c
where c.action = 'arm' and c.expires_at > clock_timestamp()
  and not exists (select from oms.control d where d.scope in (c.scope, 'global') and d.control_id > c.control_id
                  and (d.action = 'disarm' or d.action like 'kill%'))
order by c.control_id desc limit 1
"""


def _refuse_armed(connection: Connection) -> None:
    """A schema never changes under somebody who trades."""
    import sqlalchemy

    if connection.exec_driver_sql("select to_regclass('oms.control')").scalar() is None:
        return
    armed = connection.execute(sqlalchemy.text(_ARMED)).scalar()
    if armed is not None:
        raise Unavailable(f"the schema is not changed while somebody may trade: armed {armed}; disarm first")


def _refuse_newer(config: Config, found: str | None) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise ConfigurationError(
            f"database: the schema is at revision {found}, which this version of ibkr-assets does not know; "
            "install the version that wrote it, or a newer one"
        )

"""The three databases and their roles: platform, Dagster, MLflow, each with an owner of its own.

Separate on purpose: a purge in Dagster or MLflow can never touch orders. What goes here: creating them, on the
embedded server or beside a database that the user named. What does not: tables, which are migrations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

from ibkr_assets.domain.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

SUPERUSER = "postgres"

#: Database -> owner, on the embedded server.
DATABASES = {"platform": "ibkr_platform", "dagster": "ibkr_dagster", "mlflow": "ibkr_mlflow"}

#: Who decides, who alone may send orders, and what people look at; all only use the tables of the platform (grants are
#: in the migrations).
PLATFORM_USERS = ("ibkr_app", "ibkr_submitter", "ibkr_dashboard")

ROLES = (SUPERUSER, *DATABASES.values(), *PLATFORM_USERS)


def create_databases(connection: psycopg.Connection[tuple[object, ...]], passwords: Mapping[str, str]) -> None:
    """Create missing roles and databases on a server we own. `connection` is a superuser's, in autocommit."""
    from psycopg import sql

    for role in (*DATABASES.values(), *PLATFORM_USERS):
        is_there = connection.execute("select 1 from pg_roles where rolname = %s", (role,)).fetchone()
        verb = sql.SQL("alter" if is_there else "create")
        connection.execute(
            sql.SQL("{} role {} login password {}").format(verb, sql.Identifier(role), sql.Literal(passwords[role]))
        )
    for database, owner in DATABASES.items():
        name, owner_name = sql.Identifier(database), sql.Identifier(owner)
        if connection.execute("select 1 from pg_database where datname = %s", (database,)).fetchone() is None:
            connection.execute(sql.SQL("create database {} owner {}").format(name, owner_name))
        connection.execute(sql.SQL("revoke all on database {} from public").format(name))
    for role in PLATFORM_USERS:
        connection.execute(sql.SQL("grant connect on database platform to {}").format(sql.Identifier(role)))


def ensure_sibling_databases(url: str) -> dict[str, str]:
    """Beside an outside platform database, see that `<name>_dagster` and `<name>_mlflow` exist.

    Returns the three URLs by name. Raises ConfigurationError with the words to use when the role may not create
    databases, and Unavailable when the server does not answer.
    """
    import psycopg
    from psycopg import errors, sql

    parts = urlsplit(url)
    name = parts.path.lstrip("/")
    if parts.scheme not in ("postgresql", "postgres") or not name:
        raise ConfigurationError("database.url: expected postgresql://user:password@host:port/name")
    siblings = {kind: f"{name}_{kind}" for kind in ("dagster", "mlflow")}
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            for sibling in siblings.values():
                if connection.execute("select 1 from pg_database where datname = %s", (sibling,)).fetchone() is None:
                    connection.execute(sql.SQL("create database {}").format(sql.Identifier(sibling)))
    except errors.InsufficientPrivilege:
        wanted = "; ".join(f"create database {sibling} owner {parts.username}" for sibling in siblings.values())
        raise ConfigurationError(
            f"database.url: role {parts.username} may not create databases; let an administrator run: {wanted}"
        ) from None
    except (errors.DuplicateDatabase, errors.UniqueViolation):  # another process was a moment faster
        return ensure_sibling_databases(url)
    except psycopg.OperationalError as error:
        where = f"{parts.hostname}:{parts.port or 5432}"
        raise Unavailable(f"Postgres at {where} cannot be used: {str(error).splitlines()[0]}") from None
    urls = {kind: urlunsplit(parts._replace(path="/" + quote(sibling))) for kind, sibling in siblings.items()}
    return {"platform": url, **urls}

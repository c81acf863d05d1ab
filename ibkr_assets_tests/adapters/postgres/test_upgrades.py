"""From every earlier revision with rows in it to the newest: no row is lost and no value of one changes.

No version has been released yet; every revision is taken for one. Rows enter at the revisions whose words they are in
(`seeds/`), and stay through all that follow. From some revisions the way to the newest is taken in one step, as an
installation that was not updated for long takes it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.script import ScriptDirectory

from ibkr_assets.adapters.postgres.migrate import _config, check, migrate

#: What stands in the tables at a revision, written for it: today's code writes today's tables only.
ROWS = {
    path.stem: [part for part in path.read_text(encoding="utf-8").split(";\n") if part.strip()]
    for path in (Path(__file__).parent / "seeds").glob("*.sql")
}
REVISIONS = sorted(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())
#: Where the long way begins: beside some early ones the last before the newest.
STARTS = ("0002", "0011", "0024", REVISIONS[-2])
TABLES = sorted({statement.split()[2] for statements in ROWS.values() for statement in statements})

Rows = dict[str, list[dict[str, Any]]]


def read(url: str, tables: list[str]) -> Rows:
    with psycopg.connect(url) as connection:
        there = [name for name in tables if connection.execute("select to_regclass(%s)", (name,)).fetchone() != (None,)]
        return {
            name: [row[0] for row in connection.execute(f"select to_jsonb(t) from {name} t order by 1")]  # type: ignore[arg-type]
            for name in there
        }


def lost(before: Rows, after: Rows) -> list[tuple[str, dict[str, Any]]]:
    """Rows that are not there any more with every value that they had; columns may have been added."""
    return [
        (table, row)
        for table, rows in before.items()
        for row in rows
        if not any(row.items() <= dict.items(other) for other in map(_comparable, after.get(table, ())))
    ]


def _comparable(row: dict[str, Any]) -> dict[str, Any]:
    return {key: _Frozen(value) for key, value in row.items()}


class _Frozen:
    """A value of JSON that can be looked up in a set of items."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return self.value == (other.value if isinstance(other, _Frozen) else other)

    def __hash__(self) -> int:
        return hash(repr(self.value))


@pytest.fixture(scope="module")
def upgraded(postgres_server: Any) -> Iterator[dict[str, tuple[str, Rows]]]:
    """A database as it stood at each start, with its rows then; `step by step` went through every revision."""
    mark = uuid.uuid4().hex[:8]
    names: dict[str, str] = {"step by step": f"steps_{mark}"}
    found: dict[str, tuple[str, Rows]] = {}
    with postgres_server.connect() as server:
        server.execute(f"create database {names['step by step']} owner ibkr_platform")
        url = postgres_server.url(names["step by step"], "ibkr_platform")
        kept: Rows = {}
        for revision in REVISIONS:
            migrate(url, to=revision)
            if revision in ROWS:
                with postgres_server.connect(names["step by step"]) as connection:
                    connection.execute("set session_replication_role = replica")  # past the guards of the ledger
                    for statement in ROWS[revision]:
                        connection.execute(statement)
                for table, rows in read(url, TABLES).items():
                    known = {repr(row) for row in kept.get(table, ())}
                    kept.setdefault(table, []).extend(row for row in rows if repr(row) not in known)
            if revision in STARTS:
                names[revision] = f"start_{revision}_{mark}"
                server.execute(
                    f"create database {names[revision]} template {names['step by step']} owner ibkr_platform"
                )
                found[revision] = (postgres_server.url(names[revision], "ibkr_platform"), read(url, TABLES))
        found["step by step"] = (url, kept)
        yield found
        for name in names.values():
            server.execute(f"drop database {name} with (force)")


@pytest.mark.parametrize("start", [*STARTS, "step by step"])
def test_every_row_is_there_after_the_upgrade_as_it_was(upgraded: dict[str, tuple[str, Rows]], start: str) -> None:
    url, before = upgraded[start]
    migrate(url)
    check(url)
    after = read(url, TABLES)
    frozen = {table: [_comparable(row) for row in rows] for table, rows in before.items()}
    assert sum(map(len, before.values())) > 40
    assert lost(frozen, after) == []


def test_what_is_looked_at_is_every_table_that_has_rows_of_old(upgraded: dict[str, tuple[str, Rows]]) -> None:
    _, kept = upgraded["step by step"]
    assert sorted(kept) == TABLES
    assert len(TABLES) > 20

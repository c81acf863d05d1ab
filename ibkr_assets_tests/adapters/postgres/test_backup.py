"""A backup is whole or not there, proves itself, and comes back only into an empty database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest

from ibkr_assets.adapters.postgres.backup import ENCRYPTED, read_manifest, take_backup
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.migrate import check
from ibkr_assets.adapters.postgres.restore import restore_backup
from ibkr_assets.domain.errors import ConfigurationError, DataError, InputError
from ibkr_assets_tests.databases import fresh_database


@pytest.fixture
def empty(postgres_server) -> Iterator[Database]:
    with fresh_database(postgres_server, "template0") as name:
        database = Database(postgres_server.url(name, "ibkr_platform"))
        yield database
        database.close()


def withdraw(database: Database) -> None:
    with database.connect() as connection:
        connection.execute(
            "insert into oms.control (scope, action, actor, reason) values ('global', 'disarm', 'test', 'kept')"
        )


def controls(database: Database) -> list[tuple[str, str]]:
    with database.connect() as connection:
        rows = connection.execute("select action, actor from oms.control order by control_id").fetchall()
    return [(str(action), str(actor)) for action, actor in rows]


def test_a_restored_database_has_what_was_backed_up_and_is_killed(
    database: Database, empty: Database, tmp_path: Path
) -> None:
    withdraw(database)
    path, manifest = take_backup(database, tmp_path)
    assert read_manifest(path) == manifest
    assert manifest.counts["oms.control"] == 1
    restore_backup(empty, path, restored_by="a")
    check(empty.url)
    assert controls(empty) == [("disarm", "test"), ("kill", "restore")]


def test_what_is_written_after_the_backup_began_is_not_in_it(
    database: Database, empty: Database, tmp_path: Path
) -> None:
    path, _ = take_backup(database, tmp_path)
    withdraw(database)
    restore_backup(empty, path, restored_by="a")
    assert controls(empty) == [("kill", "restore")]


def test_an_encrypted_backup_wants_its_key(database: Database, empty: Database, tmp_path: Path) -> None:
    owner, stranger = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    path, manifest = take_backup(database, tmp_path / "kept", recipient=str(owner.to_public()))
    assert manifest.file == ENCRYPTED
    assert b"PGDMP" not in (path / ENCRYPTED).read_bytes()
    wrong, right = tmp_path / "wrong", tmp_path / "right"
    wrong.write_text(str(stranger))
    right.write_text(f"# made by age-keygen\n{owner}\n")
    with pytest.raises(InputError, match="is encrypted; name the file with its age key"):
        restore_backup(empty, path, restored_by="a")
    with pytest.raises(InputError, match="does not open"):
        restore_backup(empty, path, identity=wrong, restored_by="a")
    restore_backup(empty, path, identity=right, restored_by="a")
    assert controls(empty) == [("kill", "restore")]


def test_a_recipient_that_is_none_is_named_before_anything_is_written(database: Database, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="recipient: no age public key: 'age1nonsense'"):
        take_backup(database, tmp_path / "kept", recipient="age1nonsense")
    assert not (tmp_path / "kept").exists()


def test_a_file_that_was_changed_is_refused_and_nothing_is_written(
    database: Database, empty: Database, tmp_path: Path
) -> None:
    path, manifest = take_backup(database, tmp_path)
    file = path / manifest.file
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match="is not what was written"):
        restore_backup(empty, path, restored_by="a")
    with pytest.raises(ConfigurationError, match="no schema to back up"):
        take_backup(empty, tmp_path)


def test_a_manifest_that_tells_of_other_rows_is_caught(database: Database, empty: Database, tmp_path: Path) -> None:
    path, _ = take_backup(database, tmp_path)
    told = json.loads((path / "manifest.json").read_text())
    told["counts"]["oms.order_intent"] += 1
    (path / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match="drop this database"):
        restore_backup(empty, path, restored_by="a")


def test_a_database_with_anything_in_it_is_left_alone(database: Database, tmp_path: Path) -> None:
    path, _ = take_backup(database, tmp_path)
    with pytest.raises(InputError, match=r"it has the schemas .*oms.* already"):
        restore_backup(database, path, restored_by="a")
    assert controls(database) == []


def test_a_backup_that_fails_leaves_nothing_behind(empty: Database, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no schema to back up"):
        take_backup(empty, tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_directory_without_a_backup_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no manifest.json in {tmp_path}"):
        read_manifest(tmp_path)

"""Which code, settings and schema decided: one row for each combination that ever did, named by its hash.

What goes here: keeping that row, and its name. What does not: finding out what runs (`bootstrap.version`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from ibkr_assets.domain.lineage import Version

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Connection

_KEEP = """
with now as (
  select encode(sha256(convert_to(concat_ws('|', %(code)s::text, %(config_sha)s::text, version_num), 'UTF8')), 'hex')
    as sha256, version_num from platform.schema_version),
kept as (
  insert into platform.version
    (sha256, code_sha256, package_version, git_commit, config_sha256, config, schema_revision)
  select sha256, %(code)s, %(package)s, %(commit)s, %(config_sha)s, %(config)s, version_num from now
  on conflict do nothing)
select sha256 from now
"""


def keep_version(connection: Connection | psycopg.Connection[Any], version: Version | None) -> str | None:
    """The hash that names code, settings and schema, its row kept; None where nobody says what runs."""
    if version is None:
        return None
    values = {
        "code": version.code_sha256, "package": version.package_version, "commit": version.git_commit,
        "config_sha": version.config_sha256, "config": Jsonb(version.config),
    }  # fmt: skip
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(_KEEP, values).fetchone()
    assert row is not None
    return str(row[0])

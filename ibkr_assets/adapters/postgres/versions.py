"""Which code, settings and schema decided: one row for each combination that ever did, named by its hash.

What goes here: keeping that row, and its name. What does not: finding out what runs (`adapters.version`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

from ibkr_assets.domain.lineage import Version

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

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


class RunningVersion:
    """The name of what runs, its row kept at the first use; without `version` there is none."""

    def __init__(self, database: Database, version: Callable[[], Version] | None) -> None:
        self._database = database
        self._version = version
        self._name: str | None = None

    def name(self) -> str | None:
        """The hash of code, settings and schema together, by which rows of decisions refer to all three."""
        if self._name is None and self._version is not None:
            self._name = self._keep(self._version())
        return self._name

    def _keep(self, version: Version) -> str:
        values = {
            "code": version.code_sha256, "package": version.package_version, "commit": version.git_commit,
            "config_sha": version.config_sha256, "config": Jsonb(version.config),
        }  # fmt: skip
        with self._database.connect() as connection:
            row = connection.execute(_KEEP, values).fetchone()
        assert row is not None
        return str(row[0])

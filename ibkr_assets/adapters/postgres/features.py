"""Feature rows in Postgres: one array a bar, its names stored once for each feature digest.

What goes here: storing and loading. What does not: what a feature is, which is `features`' work.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from ibkr_assets.adapters.postgres import copy_binary
from ibkr_assets.adapters.postgres.bar_rows import instants, microseconds
from ibkr_assets.adapters.postgres.connection import Connection, Database
from ibkr_assets.adapters.postgres.feature_inputs import save_inputs
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import DataError


class PostgresFeatures:
    """Features by digest. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_features(
        self, features: pd.DataFrame, size: BarSize, *, feature_digest: str, bars: pd.DataFrame | None = None
    ) -> int:
        """Store rows of features (conid, opened_at, one column a feature); NaN becomes NULL. Returns the rows.

        Rows that come again replace the earlier ones. `bars` are those they were computed from, with `version` and
        `row_sha`: each row keeps which versions these were, up to its own. Raises DataError when the columns of a
        digest change.
        """
        names = [name for name in features.columns if name not in ("conid", "opened_at")]
        columns = [
            copy_binary.int8(features["conid"].to_numpy(dtype=np.int64)),
            copy_binary.timestamptz(microseconds(features["opened_at"])),
            copy_binary.float8_array(features[names].to_numpy(dtype=np.float64)),
        ]
        arguments = {"size": size.value, "digest": feature_digest, "names": names}
        with self._database.connect() as connection:
            _save_feature_names(connection, feature_digest, names)
            inputs = np.zeros((len(features), 0), dtype=np.uint8)
            if bars is not None and len(features):
                inputs = save_inputs(connection, features, bars, size)
            columns.append(copy_binary.bytea(inputs))
            connection.execute(
                "create temporary table incoming "
                '(conid bigint, opened_at timestamptz, "values" double precision[], input bytea) on commit drop'
            )
            copy_binary.copy(connection, "copy incoming from stdin (format binary)", columns)
            connection.execute(
                """
                insert into research.feature as old
                  (conid, bar_size, opened_at, feature_digest, "values", input_sha256)
                select conid, %(size)s, opened_at, %(digest)s, "values", encode(nullif(input, ''), 'hex') from incoming
                order by conid, opened_at
                on conflict (conid, bar_size, feature_digest, opened_at) do update
                  set "values" = excluded."values", input_sha256 = excluded.input_sha256
                  where (old."values", old.input_sha256) is distinct from (excluded."values", excluded.input_sha256)
                """,
                arguments,
            )
            connection.execute("drop table incoming")
        return len(features)

    def load_features(
        self, conids: Sequence[int], size: BarSize, start: datetime, end: datetime, *, feature_digest: str
    ) -> pd.DataFrame:
        """Features of bars opened in [start, end): conid, opened_at (aware UTC), one float column a feature."""
        with self._database.connect() as connection:
            named = connection.execute(
                "select names from research.feature_set where feature_digest = %s", (feature_digest,)
            ).fetchone()
            rows = connection.execute(
                """
                select conid, (extract(epoch from opened_at) * 1000000)::bigint, "values" from research.feature
                where conid = any(%s) and bar_size = %s and opened_at >= %s and opened_at < %s and feature_digest = %s
                order by conid, opened_at
                """,
                (list(conids), size.value, start, end, feature_digest),
            ).fetchall()
        names = [] if named is None else list(named[0])
        keys: npt.NDArray[np.int64] = np.array([row[:2] for row in rows], dtype=np.int64).reshape(-1, 2)
        values = np.array([row[2] for row in rows], dtype=np.float64).reshape(len(rows), len(names))
        frame = pd.DataFrame(values, columns=names)
        frame.insert(0, "conid", keys[:, 0])
        frame.insert(1, "opened_at", instants(keys[:, 1]))
        return frame


def _save_feature_names(connection: Connection, feature_digest: str, names: list[str]) -> None:
    connection.execute(
        "insert into research.feature_set (feature_digest, names) values (%s, %s) on conflict do nothing",
        (feature_digest, names),
    )
    found = connection.execute(
        "select names from research.feature_set where feature_digest = %s", (feature_digest,)
    ).fetchone()
    if found is None or list(found[0]) != names:
        raise DataError(f"features: digest {feature_digest} names {found and found[0]}, got {names}")

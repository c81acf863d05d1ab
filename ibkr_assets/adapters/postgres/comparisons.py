"""What strategies that compare their universe were shown of it, in Postgres: stored once for all signals of a session.

What goes here: storing it beside the signals. What does not: what names it (`strategies.input_proof`), and asking
whether it is still so (`adapters.postgres.proofs`).
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.connection import Connection
from ibkr_assets.domain.lineage import Comparison

_SAVE = """
insert into research.comparison (sha256, bar_size, columns) values (%s, '1d', %s) on conflict do nothing
"""
_SAVE_BARS = """
insert into research.comparison_bars (sha256, conid, opened_at, versions, actions) values (%s, %s, %s, %s, %s)
"""


def save_comparisons(connection: Connection, comparisons: Iterable[Comparison]) -> None:
    """Store those that are not there yet, in the transaction of their signals."""
    for name, one in sorted({one.sha256: one for one in comparisons}.items()):
        if connection.execute(_SAVE, (name, list(one.columns))).rowcount:
            connection.cursor().executemany(
                _SAVE_BARS,
                [
                    (name, conid, [at for at, _ in bars], [version for _, version in bars], Jsonb(one.actions[conid]))
                    for conid, bars in one.bars.items()
                ],
            )

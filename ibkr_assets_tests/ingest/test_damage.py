"""Each of sixty kinds of damage once, from file or broker to verdict; `damage` runs them by the thousand."""

from __future__ import annotations

import pandas as pd

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets_tests.fakes.tape import real_bars
from ibkr_assets_tests.ingest.damage import KINDS, _bad_rows, run

#: Damage that loses nothing and is none: all rows are right, only more of them, or in another order.
HARMLESS = {"the same row twice", "everything twice", "out of order", "newest first"}


def test_whatever_happens_to_a_file_or_an_answer_no_wrong_bar_is_validated_and_no_row_is_lost(
    database: Database,
) -> None:
    tally = run(database, 1)
    assert len(KINDS) == 60
    assert tally.breaches == []
    assert tally.rows == tally.validated + tally.quarantined.total() + tally.repeated
    assert tally.kinds_with_quarantine == set(KINDS) - HARMLESS
    assert set(tally.quarantined) >= {
        "not_json", "symbol_mismatch", "cut_at_1000", "delayed_feed", "currency_changed", "conid_mismatch", "checksum",
        "stuck", "partial_bar", "before_listing",
    }  # fmt: skip


def test_a_wrong_bar_would_be_noticed() -> None:
    bars = real_bars("IBM").head(3)
    opens = set(bars["opened_at"])
    assert _bad_rows(bars, {"IBM": bars}, opens) == []
    wrong = pd.concat([bars.head(2), bars.tail(1).assign(close=bars["close"].iloc[-1] + 0.01)])
    assert len(_bad_rows(wrong, {"IBM": bars}, opens)) == 1
    assert len(_bad_rows(bars, {"IBM": bars}, set())) == 3

"""A submitter's desk for every test of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ibkr_assets_tests.execution.desk import Desk


@pytest.fixture
def desk(database, tmp_path) -> Iterator[Desk]:
    """Not started yet; its lease is given back after the test, and the ledger must not contradict itself."""
    from ibkr_assets.adapters.postgres.invariants import check_invariants

    made = Desk(database, tmp_path)
    yield made
    made.stop()
    assert [found for found in check_invariants(database) if found["violations"]] == []

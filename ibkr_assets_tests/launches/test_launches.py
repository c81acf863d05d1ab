"""Two runs of one partition at once are one order a decision. The other ways are the command's: they take minutes."""

from __future__ import annotations

import pytest

from ibkr_assets_tests.launches.stage import open_stage
from ibkr_assets_tests.launches.ways import go_through


@pytest.mark.slow
def test_two_runs_of_a_partition_at_once_are_one_order_a_decision() -> None:
    with open_stage(("concurrent",)) as stage:
        (row,) = go_through(stage, lambda _: None, ways=("concurrent",))
    assert row.is_good, row
    assert (row.steps, row.twice) == (2, 0)
    assert row.accepted == row.approved == row.decisions == row.found > 0

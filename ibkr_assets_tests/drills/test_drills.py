"""A few kill drills of the command `python -m ibkr_assets_tests.drills`, and one that must be found bad."""

from __future__ import annotations

import pytest

from ibkr_assets_tests.drills.drill import WAYS, drill, drill_without_postgres
from ibkr_assets_tests.drills.stage import open_stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_nothing_leaves_later_than_a_second_after_a_kill_and_nothing_after_the_restart(monkeypatch):
    monkeypatch.setitem(WAYS, "no kill at all", lambda stage: None)
    with open_stage() as stage:
        stage.start_submitter()
        assert drill(stage, "row, account").is_good
        assert drill_without_postgres(stage).is_good
        assert not drill(stage, "no kill at all").is_good, "a drill that cannot fail shows nothing"

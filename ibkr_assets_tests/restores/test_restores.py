"""The recovery drill, whole."""

from pathlib import Path

import pytest

from ibkr_assets_tests.restores.drill import drill


@pytest.mark.slow
def test_a_backup_from_before_fifty_orders_comes_back_knows_them_all_and_sends_nothing(tmp_path: Path) -> None:
    outcome = drill(tmp_path, orders=50)
    assert outcome.is_good, outcome
    assert outcome.adopted == 50

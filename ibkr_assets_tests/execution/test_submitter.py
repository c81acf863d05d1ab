"""How long a submitter waits before it tries again: IBKR's time, unless a simulated gateway runs faster."""

from __future__ import annotations

import pytest

from ibkr_assets import bootstrap
from ibkr_assets.settings import Settings


@pytest.mark.parametrize(("pace", "longest_s"), [(1, 30.0), (6, 5.0), (1000, 1.0)])
def test_the_pace_shortens_the_wait_for_a_peer_but_never_below_a_second(tmp_path, pace, longest_s):
    settings = Settings.model_validate({
        "mode": "sim", "account": "DU1000001", "data_dir": tmp_path, "database": {"url": "postgresql://127.0.0.1/none"},
        "gateway": {"url": "http://127.0.0.1:9/v1/api", "pace": pace},
    })  # fmt: skip
    assert bootstrap.submitter(settings)._options.longest_wait_s == longest_s

"""How long a submitter waits before it tries again, and by which limits it goes once it runs."""

from __future__ import annotations

import time
from decimal import Decimal
from functools import partial

import pytest

from ibkr_assets import bootstrap_submitter
from ibkr_assets.adapters.postgres.limits import PostgresLimits
from ibkr_assets.domain.order import Mode
from ibkr_assets.execution.seat import SubmitterOptions
from ibkr_assets.risk.limits import Limits
from ibkr_assets.settings import Settings
from ibkr_assets_tests.execution.desk import an_intent
from ibkr_assets_tests.execution.test_reconcile import Running


@pytest.mark.parametrize(("pace", "longest_s"), [(1, 30.0), (6, 5.0), (1000, 1.0)])
def test_the_pace_shortens_the_wait_for_a_peer_but_never_below_a_second(tmp_path, pace, longest_s):
    settings = Settings.model_validate({
        "mode": "sim", "account": "DU1000001", "data_dir": tmp_path, "database": {"url": "postgresql://127.0.0.1/none"},
        "gateway": {"url": "http://127.0.0.1:9/v1/api", "pace": pace},
    })  # fmt: skip
    assert bootstrap_submitter.submitter(settings)._options.longest_wait_s == longest_s


def test_limits_that_another_process_tightens_bind_a_running_submitter_at_once_and_looser_ones_do_not(desk, database):
    store = PostgresLimits(database)
    note = partial(store.note, mode=Mode.SIM, actor="somebody", origin="a file")
    note(Limits(price_collar_fraction=Decimal("0.001")))  # of a day before: this start has replaced it
    own = SubmitterOptions(
        max_order_value_usd=Decimal(10_000), price_collar_fraction=Decimal("0.03"), kill_file=desk.kill_file,
        settle_s=0.0, poll_interval_s=0.01, list_every_s=0.01, lease_s=0.2, longest_wait_s=0.01,
    )  # fmt: skip
    with Running(desk, options=own, newest_limits=store.newest) as running:
        running.wait(lambda: len(running.lines) == 1, limit_s=60)
        first = desk.propose(an_intent(limit_price=Decimal("203.90")))
        running.wait(lambda: str(desk.record(first).state) == "WORKING", limit_s=60)
        note(Limits(price_collar_fraction=Decimal("0.05")))
        time.sleep(0.3)
        assert len(running.lines) == 1, "a looser limit waits for a start of this process"
        note(Limits(price_collar_fraction=Decimal("0.01")))
        running.wait(lambda: len(running.lines) == 2, limit_s=60)
        second = desk.propose(an_intent(2, limit_price=Decimal("203.90")))
        running.wait(lambda: str(desk.record(second).state) == "DENIED", limit_s=60)
        assert "collar" in desk.record(second).reason
        note(Limits(price_collar_fraction=Decimal("0.05")))
        third = desk.propose(an_intent(3, limit_price=Decimal("203.90")))
        running.wait(lambda: str(desk.record(third).state) == "DENIED", limit_s=60)
        assert len(running.lines) == 2

"""The asset `parity` and its schedule: what differs is shown in money, and each session is asked for once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from ibkr_assets.defs.parity import parity, parity_evening
from ibkr_assets_tests.defs.chain import Chain, checks_of, metadata_of
from ibkr_assets_tests.defs.ticks import Peers, at, evaluate_schedule, note_run

DAY, NEXT = date(2012, 11, 21), date(2012, 11, 23)


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def test_orders_that_nobody_sent_are_a_difference_and_a_warning(database, database_url) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        chain = Chain(database, database_url, instance)
        chain.run(DAY)
        chain.move_after_close(NEXT)
        chain.run(NEXT, select=("raw_bars", "validated_bars"))
        found = dg.materialize(
            [asset for asset in chain.definitions.assets or () if asset.key == parity.key],
            resources=chain.resources, instance=instance, partition_key=str(DAY),
        )  # fmt: skip
    assert found.success
    shown = metadata_of(found, "parity")
    approved = [record for record in chain.book.intents() if str(record.state) == "APPROVED"]
    assert approved
    assert shown["dagster/row_count"] == 5
    assert shown["difference_usd"] == shown["size_usd"] != 0
    assert shown["price_usd"] == shown["missed_bar_usd"] == 0
    assert checks_of(found) == {"parity_is_exact": False}


def test_the_evening_asks_for_the_session_before_the_last_closed_one_once(on_disk: dg.DagsterInstance) -> None:
    tick = at("2012-11-23 18:00")
    (asked,) = evaluate_schedule(parity_evening, Peers(tick), on_disk, tick)
    assert isinstance(asked, dg.RunRequest)
    assert asked.partition_key == "2012-11-21"
    note_run(on_disk, "parity_of_session", "2012-11-21")
    assert str(evaluate_schedule(parity_evening, Peers(tick), on_disk, tick)).startswith("already requested")
    peers = Peers(tick, first_session="2012-11-23")
    assert "lies before the first partition" in str(evaluate_schedule(parity_evening, peers, on_disk, tick))

"""A ledger restored from a backup takes over what the broker shows, sends nothing, and says what it took over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from ibkr_assets.adapters.postgres.backup import take_backup
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.restore import restore_backup
from ibkr_assets.domain.errors import InputError, Unavailable
from ibkr_assets.domain.order import OrderState
from ibkr_assets.execution.evidence import Finding, weigh
from ibkr_assets_tests.databases import fresh_database
from ibkr_assets_tests.execution.desk import Desk, an_intent, ticket_of

Restore = Callable[[Path], Desk]


@pytest.fixture
def restore(postgres_server, desk: Desk, tmp_path: Path) -> Iterator[Restore]:
    """Bring a backup of the desk back into an empty database, between the same market and the same broker."""
    with fresh_database(postgres_server, "template0") as name:
        database = Database(postgres_server.url(name, "ibkr_platform"))
        desk.start()
        after = Desk(database, tmp_path, broker=desk.broker, market=desk.market, time=desk.time)

        def bring_back(backup: Path) -> Desk:
            restore_backup(database, backup, restored_by="test")
            return after

        yield bring_back
        after.stop()
        database.close()


def violations(desk: Desk) -> dict[str, int]:
    return {row["id"]: row["violations"] for row in check_invariants(desk.database) if row["violations"]}


def test_orders_sent_after_the_backup_are_taken_over_and_nothing_is_sent(
    desk: Desk, restore: Restore, tmp_path: Path
) -> None:
    kept = desk.propose(an_intent(1))
    desk.turn(3)
    backup, _ = take_backup(desk.database, tmp_path / "backups")
    lost = [
        desk.propose(an_intent(1, conid=265598, symbol="AAPL")),
        desk.propose(an_intent(2, conid=272093, symbol="MSFT")),
    ]
    desk.turn(6)
    desk.broker.fill(lost[1].client_order_id, 10, "200")
    desk.turn(6)
    assert [desk.record(record).state for record in lost] == [OrderState.WORKING, OrderState.FILLED]
    arrived = [desk.broker.arrivals(record.client_order_id) for record in lost]

    after = restore(backup).start()
    after.turn(10)

    found = {record.client_order_id: record for record in after.book.intents()}
    assert {key: record.state for key, record in found.items()} == {
        kept.client_order_id: OrderState.WORKING,
        lost[0].client_order_id: OrderState.WORKING,
        lost[1].client_order_id: OrderState.FILLED,
    }
    assert [desk.broker.arrivals(record.client_order_id) for record in lost] == arrived == [1, 1]
    assert violations(after) == {}
    # The first one's decision is met again among those that the backup's strategies could have made.
    assert found[lost[0].client_order_id].intent.decision_key == lost[0].intent.decision_key
    assert found[lost[1].client_order_id].intent.strategy_id == "unattributed"
    assert after.breaks() == {"adopted_unattributed": "conid"}
    report = after.ledger.recovery.report()
    assert report is not None
    assert {row["client_order_id"] for row in report["adopted"]} == {record.client_order_id for record in lost}


def test_a_decision_made_again_is_the_order_that_was_taken_over(desk: Desk, restore: Restore, tmp_path: Path) -> None:
    desk.propose(an_intent(1))
    desk.turn(3)
    backup, _ = take_backup(desk.database, tmp_path / "backups")
    again = an_intent(1, conid=265598, symbol="AAPL")
    first = desk.propose(again)
    desk.turn(3)
    after = restore(backup).start()
    record = after.propose(again)
    assert not record.is_new
    assert record.client_order_id == first.client_order_id
    after.turn(5)
    assert desk.broker.arrivals(first.client_order_id) == 1


def test_an_order_approved_in_the_backup_and_sent_since_is_not_sent_again(
    desk: Desk, restore: Restore, tmp_path: Path
) -> None:
    approved = desk.propose(an_intent(1))
    backup, _ = take_backup(desk.database, tmp_path / "backups")
    desk.turn(3)
    assert desk.record(approved).state is OrderState.WORKING
    after = restore(backup).start()
    after.turn(5)
    assert after.record(approved).state is OrderState.WORKING
    assert desk.broker.arrivals(approved.client_order_id) == 1
    assert violations(after) == {}


def test_a_call_of_before_the_backup_proves_nothing_about_an_order_that_left_after_it(
    desk: Desk, restore: Restore, tmp_path: Path
) -> None:
    """It was not sent at first; a ledger that took that for the last word would send it once more."""
    order = desk.propose(an_intent(1))
    desk.broker.script.append("not_sent")
    with pytest.raises(Unavailable, match="connection refused"):
        desk.turn(1)
    assert desk.record(order).state is OrderState.APPROVED
    backup, _ = take_backup(desk.database, tmp_path / "backups")
    after = restore(backup)
    after.ledger.lease.register(after.account, after.mode)
    epoch = after.ledger.lease.acquire("test", 20.0)
    assert epoch is not None
    restoration = after.ledger.recovery.open_restoration()
    assert restoration is not None
    after.ledger.recovery.adopt_unsent(restoration, after.record(order), epoch=epoch, evidence={"from": "orders"})
    ((_, evidence),) = after.ledger.doubts.doubts()
    assert weigh(evidence, settle_s=0.0) is Finding.WAIT


def test_nothing_leaves_and_nobody_resumes_before_a_start_was_clean(
    desk: Desk, restore: Restore, tmp_path: Path
) -> None:
    waiting = desk.propose(an_intent(1))
    backup, _ = take_backup(desk.database, tmp_path / "backups")
    after = restore(backup)
    with pytest.raises(InputError, match="has had no clean start since"):
        after.whole_ledger.control("resume", scope="global", actor="a", reason="looks fine", session="1")
    after.start().turn(5)
    assert after.record(waiting).state is OrderState.APPROVED
    assert desk.broker.arrivals(waiting.client_order_id) == 0
    after.whole_ledger.control("resume", scope="global", actor="a", reason="compared", session="1")
    after.turn(5)
    assert desk.broker.arrivals(waiting.client_order_id) == 1
    assert after.ledger.recovery.open_restoration() is None


def test_without_a_restore_an_order_of_ours_that_nobody_knows_stops_the_account(desk: Desk) -> None:
    desk.start()
    known = desk.propose(an_intent(1))
    with desk.database.connect() as connection:
        with pytest.raises(psycopg.errors.RaiseException, match="only where a restored ledger takes it over"):
            connection.execute("update oms.order_intent set state = 'UNKNOWN', version = version + 1")
        connection.rollback()
    desk.broker.place(replace(ticket_of(known), client_order_id="q1-" + "a" * 26))
    desk.turn(3)
    assert desk.breaks()["order_without_intent"] == "account"

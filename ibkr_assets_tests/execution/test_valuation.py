"""What the account is worth: with every price or not at all, by day, and what a loss stops."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from ibkr_assets.adapters.postgres.resolutions import PostgresResolutions
from ibkr_assets_tests.execution.desk import EVENING, REF, an_intent

D = Decimal


def controls(desk) -> list[tuple[str, str, dict[str, str]]]:
    with desk.database.connect() as connection:
        rows = connection.execute("select action, actor, evidence from oms.control order by control_id").fetchall()
    return [(action, actor, evidence) for action, actor, evidence in rows]


def snapshots(desk) -> int:
    with desk.database.connect() as connection:
        row = connection.execute("select count(*) from oms.account_snapshot").fetchone()
    assert row is not None
    return int(row[0])


def days(desk) -> list[tuple[str, Decimal]]:
    with desk.database.connect() as connection:
        rows = connection.execute(
            "select d.session_date, s.nav_platform_usd from oms.nav_day d join oms.account_snapshot s "
            "using (snapshot_id) order by d.session_date"
        ).fetchall()
    return [(day.isoformat(), nav) for day, nav in rows]


def buy(desk, shares: int, price: str) -> None:
    record = desk.propose(an_intent())
    desk.turn(2)
    desk.broker.prices[8314] = D(price)
    desk.broker.fill(record.client_order_id, shares, price)
    desk.turn(4)


def test_without_a_price_of_everything_held_the_account_has_no_value_and_says_so(desk):
    desk.start()
    buy(desk, 10, "200")
    before, nav = snapshots(desk), desk.book.net_asset_value(REF)
    desk.broker.prices[8314] = D(0)
    desk.turn(12)
    assert snapshots(desk) == before
    assert desk.book.net_asset_value(REF) == nav
    assert desk.breaks() == {"price_missing": "conid"}
    desk.broker.prices[8314] = D(201)
    desk.turn(12)
    assert desk.breaks() == {}
    assert desk.book.net_asset_value(REF)[0] == D(100_000) - 2000 - 1 + 2010


def test_a_position_that_only_the_books_hold_is_valued_while_it_is_looked_into(desk):
    desk.start()
    buy(desk, 10, "200")
    del desk.broker.held[8314]
    desk.turn(30)
    assert desk.breaks() == {"position": "conid", "nav": "nothing"}
    assert desk.book.net_asset_value(REF)[0] == D(99_999)


def test_the_first_value_after_a_close_is_the_days_and_no_later_one(desk):
    desk.start()
    desk.turn()
    assert days(desk) == [("2012-10-01", D(100_000))]
    desk.broker.cash += 7
    desk.turn(30)
    desk.move_market(EVENING + timedelta(hours=18))
    desk.turn(12)
    assert [day for day, _ in days(desk)] == ["2012-10-01"]
    desk.move_market(EVENING + timedelta(hours=24))
    desk.turn(2)
    assert [day for day, _ in days(desk)] == ["2012-10-01", "2012-10-02"]


@pytest.mark.parametrize(
    ("price", "expected"),
    [("190", []), ("183", ["disarm"]), ("178", ["kill_cancel"]), ("125", ["disarm", "kill_cancel"])],
)
def test_a_loss_of_the_day_withdraws_permission_by_its_size(desk, price, expected):
    desk.broker.held[272093] = D(200)
    desk.start()
    desk.turn()
    desk.broker.prices[272093] = D(price)
    desk.move_market(EVENING + timedelta(minutes=1))
    desk.turn(12)
    assert sorted(action for action, _, _ in controls(desk)) == expected


def test_a_loss_is_written_down_once_with_its_numbers_and_a_resume_holds_for_the_day(desk):
    desk.broker.held[272093] = D(200)
    desk.start()
    desk.broker.prices[272093] = D(180)
    desk.move_market(EVENING + timedelta(minutes=1))
    desk.turn(24)
    ((action, actor, evidence),) = controls(desk)
    assert (action, actor) == ("disarm", "R17")
    assert (evidence["lost_usd"], evidence["base_usd"], evidence["nav_usd"]) == ("4000", "140000", "136000")
    blocked = desk.propose(an_intent())
    desk.turn(2)
    assert "disarm" in desk.record(blocked).reason
    desk.whole_ledger.control("resume", scope=f"account:{REF}", actor="ann", reason="seen")
    desk.turn(24)
    assert [action for action, _, _ in controls(desk)] == ["disarm", "resume"]
    desk.move_market(EVENING + timedelta(days=1))
    desk.broker.prices[272093] = D(120)
    desk.turn(12)
    assert [action for action, _, _ in controls(desk)][2:] == ["kill_cancel", "disarm"]


def test_money_brought_in_is_no_gain_that_hides_a_loss(desk):
    desk.broker.held[272093] = D(200)
    desk.start()
    desk.broker.cash += 10_000
    desk.turn(30)
    differences = PostgresResolutions(desk.database, REF)
    (found,) = (f for f in differences.breaks() if f["kind"] == "cash")
    differences.resolve(
        found["break_id"], actor="ann", reason="wire", market_at=EVENING, is_adopted=True, is_paid_in=True
    )
    desk.turn(12)
    assert desk.breaks() == {}
    desk.broker.prices[272093] = D(180)
    desk.move_market(EVENING + timedelta(minutes=1))
    desk.turn(12)
    ((_, _, evidence),) = controls(desk)
    assert (evidence["lost_usd"], evidence["base_usd"]) == ("4000", "150000")

"""Sessions that end, are taken away or answer nobody: nothing leaves until everything was looked up again."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ibkr_assets.domain.order import OrderState
from ibkr_assets_tests.faults.registry import end_state_of
from ibkr_assets_tests.faults.trading import flat_gateway, trading
from ibkr_assets_tests.simulator.clients import connect

__all__ = ["flat_gateway", "trading"]

S = OrderState
NEW_YORK = ZoneInfo("America/New_York")
#: Calls that change something at the broker.
CHANGING = {"submit", "reply", "modify", "cancel"}


def routes(trading, since=0):
    """Names of the routes that were asked for, in order."""
    return [row["route"] for row in trading.wirelog()[since:]]


def has_struck(trading):
    (armed,) = trading.gateway.admin("GET", "/admin/fault")
    return armed["struck"] > 0


def is_filled_at_the_open(trading, record):
    trading.wait_for(record, S.WORKING)
    trading.open_market()
    trading.wait_for(record, S.FILLED, filled=10)
    assert trading.accepted() == [record.client_order_id]
    trading.agree()


@end_state_of("F20")
def test_f20_a_penalty_is_silence_but_for_looks_and_kills_while_an_order_is_in_doubt(trading):
    trading.settle_s = 0.6
    trading.first_penalty_s = 900.0
    trading.start()
    trading.gateway.arm_fault("F2")
    record = trading.propose()
    trading.wait_for(record, S.UNKNOWN)
    trading.gateway.arm_fault("F20", seconds=900)
    trading.wait("the account is killed", trading.kills)
    assert "429" in trading.kills()[0]
    begun = next(n for n, row in enumerate(trading.wirelog()) if row["status"] == 429)
    trading.wait("it is looked again", lambda: "auth_status" in routes(trading, begun + 1))
    assert set(routes(trading, begun + 1)) == {"auth_status"}
    trading.wait("it is shut out", lambda: trading.status() == "shut out")
    trading.gateway.step_clock(901)
    trading.wait("it works again", lambda: trading.status() == "working")
    trading.wait_for(record, S.NOT_PLACED)
    other = trading.propose("AAPL", strategy_id="other")
    trading.wait("the other order is held back", lambda: "kill" in trading.record(other).reason)
    assert trading.accepted() == []
    trading.agree()


@end_state_of("F20")
def test_f20_a_penalty_with_nothing_in_doubt_is_waited_out_and_the_order_leaves_after_it(trading):
    trading.first_penalty_s = 900.0
    trading.start()
    trading.gateway.arm_fault("F20", seconds=900)
    trading.wait("it is shut out", lambda: trading.status() == "shut out")
    record = trading.propose()
    trading.gateway.step_clock(901)
    is_filled_at_the_open(trading, record)
    assert trading.kills() == []
    assert routes(trading).count("submit") == 1


@end_state_of("F21")
def test_f21_a_401_to_an_order_is_doubt_and_the_order_is_never_repeated(trading):
    trading.start()
    trading.gateway.arm_fault("F21", routes=["submit"])
    record = trading.propose()
    trading.wait_for(record, S.NOT_PLACED)
    assert trading.path(record)[-2:] == ["UNKNOWN", "NOT_PLACED"]
    assert routes(trading).count("submit") == 1
    assert trading.accepted() == []
    trading.agree()


@end_state_of("F21")
def test_f21_a_login_that_ended_stops_everything_until_it_is_back_and_looked_up(trading):
    trading.start()
    before = trading.reconciliations()
    begins = trading.gateway.now()
    trading.gateway.arm_fault("F21", **{"from": begins.isoformat(), "to": (begins + timedelta(seconds=60)).isoformat()})
    trading.wait("a person is asked for", lambda: trading.status() == "login required")
    record = trading.propose()
    assert trading.record(record).state is S.APPROVED
    trading.gateway.step_clock(61)
    is_filled_at_the_open(trading, record)
    assert trading.reconciliations() == before + 1


@end_state_of("F22")
def test_f22_a_session_that_another_platform_took_is_not_fought_for(trading):
    trading.start()
    before = trading.reconciliations()
    trading.gateway.arm_fault("F22", routes=["orders", "trades", "snapshot"])
    record = trading.propose()
    trading.wait("a person is asked for", lambda: trading.status() == "login required")
    with connect(trading.gateway) as api:
        assert api.post("/iserver/auth/status").json()["competing"] is True
    assert trading.accepted() == []
    assert "init" not in routes(trading)
    trading.gateway.set_session("ok")
    is_filled_at_the_open(trading, record)
    assert trading.reconciliations() == before + 1


@end_state_of("F22")
def test_f22_a_session_that_stays_with_another_platform_is_told_once_however_often_it_is_looked_at(
    trading, caplog, monkeypatch
):
    monkeypatch.setattr("ibkr_assets_tests.faults.trading.FAST", 20.0)  # a minute is three seconds
    trading.options = {"longest_wait_s": 0.1}
    trading.start()
    trading.gateway.set_session("competing")
    mark = len(trading.wirelog())
    trading.propose()
    trading.wait("it is looked at often", lambda: routes(trading, mark).count("auth_status") > 5)
    told = [record for record in caplog.records if "another platform" in record.getMessage()]
    assert len(told) == 1
    trading.gateway.set_session("ok")
    trading.wait("it works again", lambda: trading.status() == "working")


@end_state_of("F23")
def test_f23_accounts_are_read_once_and_the_read_is_repeated(trading):
    trading.start()
    before = trading.reconciliations()
    mark = len(trading.wirelog())
    trading.gateway.arm_fault("F23", routes=["orders"])
    trading.wait("the list was refused", lambda: has_struck(trading))
    record = trading.propose()
    is_filled_at_the_open(trading, record)
    seen = routes(trading, mark)
    refused = next(n for n, row in enumerate(trading.wirelog()[mark:]) if row["status"] == 500)
    after = [name for name in seen[refused + 1 :] if name in ("accounts", "orders")]
    assert after[:2] == ["accounts", "orders"]
    assert trading.reconciliations() == before + 1


@end_state_of("F23")
def test_f23_an_order_that_was_refused_for_want_of_accounts_is_not_repeated(trading):
    trading.start()
    trading.gateway.arm_fault("F23", routes=["submit"])
    record = trading.propose()
    trading.wait_for(record, S.NOT_PLACED)
    assert routes(trading).count("submit") == 1
    trading.agree()


@end_state_of("F24")
@pytest.mark.parametrize("words", ["no_bridge", "init_first"])
def test_f24_a_lost_session_is_rebuilt_and_everything_looked_up_before_an_order_leaves(trading, words):
    trading.start()
    before = trading.reconciliations()
    mark = len(trading.wirelog())
    trading.gateway.arm_fault("F24", words=words, routes=["trades", "orders", "snapshot"])
    record = trading.propose()
    is_filled_at_the_open(trading, record)
    seen = routes(trading, mark)
    assert seen.count("init") == 1
    assert {"accounts", "orders", "trades", "positions2"} <= set(seen[seen.index("init") : seen.index("submit")])
    assert trading.reconciliations() == before + 1


@end_state_of("F24")
def test_f24_an_order_into_a_lost_session_is_doubt_and_then_not_placed(trading):
    trading.start()
    trading.gateway.arm_fault("F24", routes=["submit"])
    record = trading.propose()
    trading.wait_for(record, S.NOT_PLACED)
    assert routes(trading).count("submit") == 1
    trading.agree()


@end_state_of("F25")
def test_f25_an_order_that_nobody_answers_is_doubt_when_its_time_is_over(trading):
    trading.order_timeout_s = 0.3
    trading.start()
    trading.gateway.arm_fault("F25", routes=["submit"])
    record = trading.propose()
    trading.wait_for(record, S.NOT_PLACED)
    assert trading.path(record)[-2:] == ["UNKNOWN", "NOT_PLACED"]
    trading.agree()


@end_state_of("F25")
def test_f25_a_read_that_nobody_answers_is_given_up_and_tried_again(trading):
    trading.read_timeout_s = 0.4
    trading.start()
    trading.gateway.arm_fault("F25", routes=["orders", "trades", "order_status", "snapshot"])
    is_filled_at_the_open(trading, trading.propose())


@end_state_of("F26")
def test_f26_after_a_restart_of_the_gateway_nothing_leaves_before_everything_is_looked_up(trading):
    trading.start()
    first = trading.propose()
    trading.wait_for(first, S.WORKING)
    before = trading.reconciliations()
    trading.gateway.arm_fault("F26", closed_s=60)
    second = trading.propose("AAPL", strategy_id="second")
    trading.wait("the gateway is away", lambda: trading.status() == "away")
    assert trading.accepted() == [first.client_order_id]
    trading.gateway.step_clock(61)
    trading.wait_for(second, S.WORKING)
    assert trading.reconciliations() == before + 1
    assert trading.path(first)[-1] == "WORKING"
    trading.open_market()
    for record in (first, second):
        trading.wait_for(record, S.FILLED, filled=10)
    assert trading.accepted() == [first.client_order_id, second.client_order_id]
    trading.agree()


@end_state_of("F27")
def test_f27_nothing_leaves_around_the_nightly_reset(trading):
    trading.start()
    night = datetime.combine(trading.next_open.astimezone(NEW_YORK).date(), datetime.min.time(), NEW_YORK)
    trading.gateway.set_clock(night + timedelta(minutes=56))
    trading.gateway.arm_fault("F27")
    record = trading.propose()
    trading.wait("the order waits", lambda: "nightly reset" in trading.record(record).reason)
    trading.gateway.set_clock(night + timedelta(minutes=61))
    trading.wait("the gateway is in maintenance", lambda: trading.status() == "away")
    trading.gateway.set_clock(night + timedelta(minutes=75))
    trading.wait("it works again", lambda: trading.status() == "working")
    assert not CHANGING & set(routes(trading))
    trading.gateway.set_clock(night + timedelta(minutes=81))
    is_filled_at_the_open(trading, record)

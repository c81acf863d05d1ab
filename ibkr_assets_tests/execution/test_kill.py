"""The levels of a kill, what each leaves and takes, and who may give permission back."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from ibkr_assets.adapters.clock import SystemClock
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.adapters.postgres.permission_rows import evidence
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.order import Mode, Side, account_ref
from ibkr_assets.domain.permission import GatewayIdentity, PaperSession
from ibkr_assets.execution.gatekeeper import Gatekeeper
from ibkr_assets.execution.kill import read_kill_file, write_kill_file
from ibkr_assets.execution.seat import NEW_YORK
from ibkr_assets.execution.unrecorded_cancel import cancel_without_ledger
from ibkr_assets_tests.children import inherited_environment
from ibkr_assets_tests.execution.desk import REF, Desk, an_intent, approve
from ibkr_assets_tests.execution.test_reconcile import Running
from ibkr_assets_tests.gateway import start_gateway

ACCOUNT_SCOPE = f"account:{REF}"


def control(desk, action, *, scope="global", session="one", **more):
    desk.whole_ledger.control(action, scope=scope, actor="somebody", session=session, reason="a test", **more)


def hold(desk, shares=10):
    """Buy and be filled."""
    record = desk.propose(an_intent(quantity=Decimal(shares)))
    desk.turn(2)
    desk.broker.fill(record.client_order_id, shares, "200")
    desk.turn(3)
    assert desk.states() == ["FILLED"]


def closing(number, shares, **changes):
    return an_intent(
        number, side=Side.SELL, quantity=Decimal(shares), purpose="reduce", limit_price=Decimal(198), **changes
    )


def by_hand(desk, intent, dagster_run_id=None):
    return desk.book.propose(intent, approve, now=desk.market.now(), dagster_run_id=dagster_run_id, created_by="hand")


@pytest.mark.parametrize("level", ["kill", "kill_cancel"])
def test_under_a_kill_a_position_can_be_closed_by_hand_and_no_further(desk, level):
    desk.start()
    hold(desk)
    control(desk, level)
    closed = by_hand(desk, closing(2, 6))
    desk.turn(2)
    too_much = by_hand(desk, closing(3, 5))
    opened = by_hand(desk, an_intent(4))
    by_machine = by_hand(desk, closing(5, 1), dagster_run_id="run-1")
    desk.turn(4)
    assert str(desk.record(closed).state) in ("ACKED", "WORKING"), "and kill_cancel does not take it back"
    for record in (too_much, opened, by_machine):
        assert str(desk.record(record).state) == "APPROVED"
        assert desk.record(record).reason.startswith(f"{level} of global")


def test_under_a_disarm_nothing_leaves_at_all(desk):
    desk.start()
    hold(desk)
    control(desk, "disarm")
    record = by_hand(desk, closing(2, 6))
    desk.turn(2)
    assert desk.record(record).reason.startswith("disarm of global")
    control(desk, "arm", expires_at=datetime.now(UTC) + timedelta(hours=1))
    desk.turn(2)
    assert str(desk.record(record).state) in ("ACKED", "WORKING")


def test_a_kill_file_takes_back_what_works_where_it_says_so_and_otherwise_leaves_it(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.turn(2)
    write_kill_file(desk.directory, actor="somebody", reason="wrong prices")
    desk.turn(4)
    assert "cancel" not in desk.broker.calls
    write_kill_file(desk.directory, actor="somebody", reason="wrong prices", level="kill_cancel")
    desk.turn(4)
    assert desk.broker.calls.count("cancel") == 1
    assert str(desk.record(record).state) == "CANCELLED"


def test_a_weaker_kill_file_does_not_take_a_stronger_one_back(tmp_path):
    write_kill_file(tmp_path, actor="one", reason="wrong prices", level="kill_cancel", session="a")
    path = write_kill_file(tmp_path, actor="two", reason="wrong size", level="kill", session="b")
    said = read_kill_file(path)
    assert (said.level, said.actor, said.session) == ("kill_cancel", "two", "b")


def test_without_the_ledger_our_own_working_orders_are_cancelled_and_no_others(desk):
    desk.start()
    record = desk.propose(an_intent())
    desk.turn(2)
    row = next(iter(desk.broker.rows.values()))
    desk.broker.rows["77"] = replace(row, broker_order_id="77", client_order_id=None)
    desk.broker.calls.clear()
    assert cancel_without_ledger(desk.broker) == 1
    assert desk.broker.calls.count("cancel") == 1
    assert cancel_without_ledger(desk.broker) == 0
    desk.broker.rows.pop("77")
    desk.turn(4)
    assert str(desk.record(record).state) == "CANCELLED", "the ledger follows the broker's list"
    desk.broker.is_down = True
    assert cancel_without_ledger(desk.broker) == 0


def test_an_active_kill_outlives_the_process_and_ends_by_a_resume(desk):
    desk.start()
    control(desk, "kill")
    record = desk.propose(an_intent())
    desk.turn(2)
    desk.stop()
    desk.start()
    desk.turn(2)
    assert "place" not in desk.broker.calls
    control(desk, "resume")
    desk.turn(2)
    assert str(desk.record(record).state) in ("ACKED", "WORKING")


# -- live


@pytest.fixture
def live(database, tmp_path):
    """A desk of mode live, in real time, with an account that is compared."""
    made = Desk(database, tmp_path, mode=Mode.LIVE)
    made.market.moment = datetime.now(UTC)
    made.start()
    yield made
    made.stop()


def live_intent(number=1):
    now = datetime.now(UTC)
    return an_intent(number, mode=Mode.LIVE, signal_bar_end=now, valid_until=now + timedelta(hours=1))


def arm(desk, seconds=3600.0):
    control(desk, "arm", scope=ACCOUNT_SCOPE, expires_at=datetime.now(UTC) + timedelta(seconds=seconds))


def withheld(desk, record):
    desk.market.moment = datetime.now(UTC)
    return desk.ledger.sends.held_back_by(record)


def test_live_waits_for_an_arm_and_again_when_it_has_run_out(live):
    record = by_hand(live, live_intent())
    assert withheld(live, record) == f"account {REF} is not armed"
    arm(live, seconds=0.5)
    assert withheld(live, record) is None
    time.sleep(0.55)
    assert withheld(live, record) == f"account {REF} is not armed"
    arm(live)
    assert withheld(live, record) is None


@pytest.mark.parametrize("scope", ["global", ACCOUNT_SCOPE])
def test_a_kill_that_was_resumed_leaves_live_disarmed(live, scope):
    record = by_hand(live, live_intent())
    arm(live)
    control(live, "kill", scope=scope)
    assert live.looks.look_at_account()
    control(live, "resume", scope=scope, session="two")
    assert withheld(live, record) == f"account {REF} is not armed"
    arm(live)
    assert withheld(live, record) is None


def test_live_is_resumed_from_another_login_and_after_a_comparison_alone(live):
    control(live, "kill", session="one")
    with pytest.raises(InputError, match="the account was not compared since the kill"):
        control(live, "resume", session="two")
    assert live.looks.look_at_account()
    with pytest.raises(InputError, match="the login session that killed may not resume"):
        control(live, "resume", session="one")
    with pytest.raises(InputError, match="a resume names its login session"):
        control(live, "resume", session="")
    with live.database.connect() as connection:
        connection.execute(
            "insert into oms.recon_break (account_ref, kind, subject, blocks, detail) "
            "values (%s, 'a_test', 'x', 'account', '{}')", (REF,),
        )  # fmt: skip
    with pytest.raises(InputError, match="a difference that blocks the account is open"):
        control(live, "resume", session="two")
    live.ledger.differences.resolve("a_test", keep=(), resolved_by="a test")
    control(live, "resume", session="two")


def test_those_who_decide_may_withdraw_permission_live_and_not_give_it(live, database_url_of):
    app = Database(database_url_of("ibkr_app"))
    ledger = PostgresLedger(app)
    ledger.control("kill", scope="global", actor="app", session="app", reason="a test")
    for action, more in (("resume", {}), ("arm", {"expires_at": datetime.now(UTC) + timedelta(hours=1)})):
        with pytest.raises(InputError, match="may withdraw permission to trade live, not give it"):
            ledger.control(action, scope=ACCOUNT_SCOPE, actor="app", session="other", reason="a test", **more)
    app.close()


def test_no_arm_lasts_longer_than_a_weekend(live):
    for days in (-1, 6):
        with pytest.raises(InputError, match="an arm ends within five days"):
            arm(live, seconds=days * 86400.0)


def test_a_start_that_is_refused_says_the_key_writes_it_down_and_leaves_the_database_open(desk, database):
    gatekeeper = Gatekeeper(
        mode=Mode.LIVE, account=desk.account, gateway_url="https://localhost:1/v1/api", file_mode=None,
        config_sha256=None, live_arm=None, records=desk.ledger.permission, now=lambda: datetime.now(UTC),
    )  # fmt: skip
    desk.broker.identity = lambda: GatewayIdentity((desk.account,), is_paper=False, server_name="other")
    with Running(desk, mode=Mode.LIVE, gatekeeper=gatekeeper) as running:
        running.thread.join(20)
    assert running.lines == []
    assert "mode live is refused: config:" in str(running.error)
    with database.connect() as connection:
        assert connection.execute("select is_granted from oms.permit").fetchall() == [(False,)]
        assert connection.execute("select mode from oms.account").fetchall() == [(None,)], "live for life is not said"


def test_the_simulated_gateway_is_no_live_one_over_https_either(database_url_of, tmp_path):
    """The whole process, as a person starts it: it ends with the code of a wrong configuration and names the keys."""
    config = tmp_path / "live.yaml"
    config.write_text("mode: live\n")
    with start_gateway(account="U1234567", extra=("--tls-self-signed", str(tmp_path / "tls"))) as gateway:
        ca = next((tmp_path / "tls").glob("*cert.pem"))
        environment = inherited_environment() | {
            "IBKR_ASSETS_CONFIG": str(config), "IBKR_ASSETS_ACCOUNT": "U1234567",
            "IBKR_ASSETS_GATEWAY_URL": gateway.api_url, "IBKR_ASSETS_GATEWAY_CA": str(ca),
            "IBKR_ASSETS_DATABASE_URL": database_url_of("ibkr_submitter"), "IBKR_ASSETS_DATA_DIR": str(tmp_path),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "ibkr_assets.cli", "submitter", "run"],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 78, done.stderr
    assert "is the simulated gateway (SimServer01)" in done.stderr
    assert "environment: IBKR_ASSETS_LIVE_ARM is not set" in done.stderr
    assert "U1234567" not in done.stderr


def test_with_every_key_live_starts_and_an_arm_that_runs_out_does_not_end_the_process(desk, database):
    account = "U1234567"
    ref = account_ref(account)
    made = Desk(database, desk.directory, mode=Mode.LIVE, account=account)
    made.broker.account = account
    made.broker.identity = lambda: GatewayIdentity((account,), is_paper=False, server_name="other")
    now = datetime.now(UTC)
    kept = evidence("c" * 64, tuple(PaperSession(now.date() - timedelta(days=d), ()) for d in (0, 1, 2)), ())
    desk.whole_ledger.control(
        "arm", scope=f"account:{ref}", actor="somebody", session="one", reason="a test",
        expires_at=now + timedelta(seconds=4), evidence=kept,
    )  # fmt: skip
    gatekeeper = Gatekeeper(
        mode=Mode.LIVE, account=account, gateway_url="https://localhost:1/v1/api", file_mode="live",
        config_sha256="c" * 64, live_arm=f"{ref}:{now.astimezone(NEW_YORK).date()}",
        records=made.ledger.permission, now=lambda: datetime.now(UTC),
    )  # fmt: skip
    with Running(
        made, mode=Mode.LIVE, account=account, ledger=made.ledger, clock=SystemClock(), gatekeeper=gatekeeper
    ) as running:
        running.wait(lambda: running.lines or running.error)
        assert running.error is None
        record = by_hand(made, replace(live_intent(), account_ref=ref))
        running.wait(lambda: made.ledger.sends.held_back_by(record) == f"account {ref} is not armed")
        time.sleep(0.3)
        assert running.thread.is_alive()
    with database.connect() as connection:
        assert connection.execute("select mode, is_granted from oms.permit").fetchall() == [("live", True)]

"""Which keys let a submitter start, and which are named when it may not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.domain.order import Mode, account_ref
from ibkr_assets.domain.permission import Arm, GatewayIdentity, PaperSession
from ibkr_assets.execution.permission import Keys, decide, faults_of_record, require

NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
ACCOUNT = "U1234567"
CLEAN = tuple(PaperSession(date(2026, 11, day), ()) for day in (20, 19, 18))
ARM = Arm("somebody", "opening watched", NOW - timedelta(hours=1), NOW + timedelta(hours=6), "c" * 64, CLEAN, ())
BROKER = GatewayIdentity((ACCOUNT,), is_paper=False, server_name="JifN17091")
SIMULATOR = GatewayIdentity((ACCOUNT,), is_paper=True, server_name="SimServer01")
LIVE = Keys(
    mode=Mode.LIVE, account=ACCOUNT, now=NOW, may_drive=True, database_mode=Mode.LIVE, file_mode="live",
    config_sha256="c" * 64, live_arm=f"{account_ref(ACCOUNT)}:2026-11-23",
    gateway_url="https://localhost:5000/v1/api", gateway=BROKER, arm=ARM,
)  # fmt: skip
BARE = {"file_mode": None, "config_sha256": None, "live_arm": None, "arm": None}
PAPER = replace(
    LIVE, **BARE, mode=Mode.PAPER, account="DU7654321", database_mode=Mode.PAPER,
    gateway=GatewayIdentity(("DU7654321", "DU1"), is_paper=True, server_name="JifN17091"),
)  # fmt: skip
SIM = replace(LIVE, **BARE, mode=Mode.SIM, database_mode=None, gateway=SIMULATOR, gateway_url="http://127.0.0.1:1/v1")
DRY_RUN = replace(LIVE, **BARE, mode=Mode.DRY_RUN, database_mode=None)

#: What is changed of a set of keys that all agree, and the keys that are named then.
COMBINATIONS = [
    ("dry_run needs no key", DRY_RUN, {}, ""),
    ("dry_run looks at a live account and database", DRY_RUN, {"database_mode": Mode.LIVE}, ""),
    ("dry_run as the role of those who decide", DRY_RUN, {"may_drive": False}, "role"),
    ("sim on the simulated gateway", SIM, {}, ""),
    ("sim as the role of those who decide", SIM, {"may_drive": False}, "role"),
    ("sim on a live database", SIM, {"database_mode": Mode.LIVE}, "database"),
    ("sim on a broker's live gateway", SIM, {"gateway": BROKER}, "gateway"),
    ("sim on a gateway that says nothing, live account", SIM, {"gateway": replace(BROKER, is_paper=None)}, "gateway"),
    ("sim on another simulation, paper account", SIM,
     {"gateway": replace(BROKER, is_paper=None), "account": "DU1000001"}, ""),
    ("paper needs no arm", PAPER, {}, ""),
    ("paper with a live account's id", PAPER, {"account": ACCOUNT}, "gateway"),
    ("paper on a live gateway", PAPER, {"gateway": BROKER}, "gateway"),
    ("paper on a sim database", PAPER, {"database_mode": Mode.SIM}, "database"),
    ("paper as the role of those who decide", PAPER, {"may_drive": False}, "role"),
    ("live with every key", LIVE, {}, ""),
    ("live on a database without a mode yet", LIVE, {"database_mode": None}, ""),
    ("live as the role of those who decide", LIVE, {"may_drive": False}, "role"),
    ("live on a paper database", LIVE, {"database_mode": Mode.PAPER}, "database"),
    ("live without a configuration file", LIVE, {"file_mode": None, "config_sha256": None}, "config arm"),
    ("live by a file that says paper", LIVE, {"file_mode": "paper"}, "config"),
    ("live by a file that was changed since the arm", LIVE, {"config_sha256": "d" * 64}, "arm"),
    ("live without the variable", LIVE, {"live_arm": None}, "environment"),
    ("live with the variable of yesterday", LIVE, {"live_arm": f"{account_ref(ACCOUNT)}:2026-11-22"}, "environment"),
    ("live with the variable of another account", LIVE, {"live_arm": "acct-0000000000:2026-11-23"}, "environment"),
    ("live on a gateway with a second account", LIVE,
     {"gateway": replace(BROKER, accounts=(ACCOUNT, "U2"))}, "gateway"),
    ("live with a paper account", LIVE,
     {"account": "DU1", "gateway": replace(BROKER, accounts=("DU1",)), "live_arm": f"{account_ref('DU1')}:2026-11-23"},
     "gateway"),
    ("live on a paper gateway", LIVE, {"gateway": replace(BROKER, is_paper=True)}, "gateway"),
    ("live on a gateway that does not say what it is", LIVE, {"gateway": replace(BROKER, is_paper=None)}, "gateway"),
    ("live on the simulated gateway, whatever it claims", LIVE,
     {"gateway": replace(SIMULATOR, is_paper=False)}, "gateway"),
    ("live without encryption", LIVE, {"gateway_url": "http://localhost:5000/v1/api"}, "gateway"),
    ("live without an arm", LIVE, {"arm": None}, "arm"),
    ("live under an arm that ran out", LIVE, {"arm": replace(ARM, expires_at=NOW)}, "arm"),
    ("live on two paper sessions", LIVE, {"arm": replace(ARM, paper_sessions=CLEAN[:2])}, "paper_record"),
    ("live on a paper session that went wrong", LIVE,
     {"arm": replace(ARM, paper_sessions=(CLEAN[0], replace(CLEAN[1], problems=("killed",)), CLEAN[2]))},
     "paper_record"),
    ("live on old paper sessions", LIVE,
     {"arm": replace(ARM, paper_sessions=tuple(replace(s, day=s.day - timedelta(days=30)) for s in CLEAN))},
     "paper_record"),
    ("live on a ledger that contradicts itself", LIVE, {"arm": replace(ARM, violations=("I3 (paper)",))},
     "paper_record"),
    ("live with nothing at all", LIVE, BARE, "config environment arm"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "change", "differ"), [row[1:] for row in COMBINATIONS], ids=[r[0] for r in COMBINATIONS]
)
def test_the_keys_that_differ_are_named_and_no_others(keys, change, differ):
    assert {one.key for one in decide(replace(keys, **change))} == set(differ.split())


def test_a_refusal_is_a_wrong_configuration_that_names_the_key_and_not_the_account():
    with pytest.raises(ConfigurationError, match="mode live is refused: environment: IBKR_ASSETS_LIVE_ARM") as refusal:
        require(replace(LIVE, live_arm=None))
    assert refusal.value.exit_code == 78
    assert ACCOUNT not in str(refusal.value)
    require(LIVE)


def test_coming_back_within_one_process_the_arm_may_have_run_out_but_the_gateway_may_not_have_changed():
    assert decide(replace(LIVE, arm=None, live_arm=None), is_restart=True) == ()
    assert {one.key for one in decide(replace(LIVE, gateway=SIMULATOR), is_restart=True)} == {"gateway"}


def test_only_the_newest_three_paper_sessions_count():
    spoilt = PaperSession(date(2026, 11, 17), ("killed",))
    assert faults_of_record((*CLEAN, spoilt), today=date(2026, 11, 23)) is None
    assert "2026-11-17 was not clean" in str(faults_of_record((*CLEAN[1:], spoilt), today=date(2026, 11, 23)))

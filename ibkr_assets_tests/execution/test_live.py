"""One order in mode live, through the submitter's own process: every key of it, and each one missing.

The gateway plays a live account (`live_venue`); the time is the machine's, as it must be where money is real.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.order import Mode, OrderIntent, OrderState, TimeInForce, account_ref
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.risk.departure import check_nightly_reset
from ibkr_assets_tests.children import inherited_environment
from ibkr_assets_tests.databases import fresh_database
from ibkr_assets_tests.execution.desk import approve
from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.risk.orders import intent as base_intent

LIVE, PAPER = "U1234567", "DU7654321"
REF = account_ref(LIVE)
NEW_YORK = ZoneInfo("America/New_York")
NYSE = exchange_calendar("XNYS")
REGIONS = ("America/New_York", "Europe/Zurich", "Asia/Hong_Kong")
BOUND_S = 90.0


def now() -> datetime:
    return datetime.now(UTC)


def write_tape(directory: Path) -> Path:
    """A market that stands at 200 USD, from two months ago to a week ahead."""
    today = now().date()
    rows = "".join(
        f"{session.opens_at.isoformat()},200,200,200,200,1000000\n"
        for session in NYSE.sessions(today - timedelta(days=60), today + timedelta(days=7))
    )
    directory.mkdir()
    (directory / "IBM.csv").write_text("opened_at,open,high,low,close,volume\n" + rows)
    return directory


def an_order() -> OrderIntent:
    """For the session that is on, otherwise for the opening of the next one."""
    moment = now()
    session = NYSE.next_session(moment.astimezone(NEW_YORK).date() - timedelta(days=1))
    if moment >= session.closes_at:
        session = NYSE.next_session(session.day)
    before = NYSE.sessions_before(session.day, 1)[0]
    is_open = session.is_open_at(moment)
    return base_intent(
        account_ref=REF, mode=Mode.LIVE, quantity=Decimal(10), session_date=session.day if is_open else before.day,
        signal_bar_end=before.closes_at, valid_until=session.closes_at if is_open else session.opens_at,
        time_in_force=TimeInForce.DAY if is_open else TimeInForce.OPENING, limit_price=Decimal(201),
    )  # fmt: skip


def is_near_an_edge(moment: datetime) -> bool:
    """Whether no order may leave now, or soon: the exchange opens or closes, and the market's time is the machine's."""
    session = NYSE.next_session(moment.astimezone(NEW_YORK).date() - timedelta(days=1))
    around = ((session.opens_at, -3, 6), (session.closes_at, -8, 1))
    return any(at + timedelta(minutes=a) <= moment <= at + timedelta(minutes=b) for at, a, b in around)


@dataclass
class Live:
    """The peers, and every key as it must be."""

    database_url_of: Callable[[str], str]
    paper_url: str
    gateway: RunningGateway
    directory: Path

    def __post_init__(self) -> None:
        self.config = self.write_config("live.yaml", "mode: live\n")

    def write_config(self, name: str, content: str) -> str:
        path = self.directory / name
        path.write_text(content)
        return str(path)

    def environment(self, **changes: str | None) -> dict[str, str]:
        """All keys agree but for `changes`; None leaves a variable out."""
        zone = next(name for name in REGIONS if check_nightly_reset(now(), ZoneInfo(name)).is_passed)
        wanted: dict[str, str | None] = {
            "IBKR_ASSETS_CONFIG": self.config, "IBKR_ASSETS_MODE": "live", "IBKR_ASSETS_ACCOUNT": LIVE,
            "IBKR_ASSETS_DATABASE_URL": self.database_url_of("ibkr_submitter"),
            "IBKR_ASSETS_PAPER_DATABASE_URL": self.paper_url, "IBKR_ASSETS_DATA_DIR": str(self.directory),
            "IBKR_ASSETS_GATEWAY_URL": self.gateway.api_url, "IBKR_ASSETS_GATEWAY_CA": self.pin_of(self.gateway),
            "IBKR_ASSETS_LIVE_ARM": f"{REF}:{now().astimezone(NEW_YORK).date()}",
            "IBKR_ASSETS__GATEWAY__RESET_ZONE": zone, "IBKR_ASSETS__RISK__ALLOWED_SYMBOLS": '["IBM"]',
            **changes,
        }  # fmt: skip
        own = inherited_environment()
        return own | {name: value for name, value in wanted.items() if value is not None}

    @staticmethod
    def pin_of(gateway: RunningGateway) -> str:
        return gateway.said[2].split()[-1]

    def runs(self, *command: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself."""
        return subprocess.run(
            [sys.executable, "-m", "ibkr_assets.cli", *command], env=self.environment(**changes),
            capture_output=True, text=True, timeout=BOUND_S, check=False,
        )  # fmt: skip

    def refusal(self, **changes: str | None) -> str:
        """What a submitter says that must not start."""
        done = self.runs("submitter", "run", **changes)
        assert done.returncode == 78, (changes, done.returncode, done.stderr)
        assert LIVE not in done.stderr
        return done.stderr

    @contextmanager
    def submitter(self) -> Iterator[None]:
        with (self.directory / "log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ibkr_assets.cli", "submitter", "run"], env=self.environment(), stdout=log,
                stderr=log,
            )  # fmt: skip
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            finally:
                process.kill()


@pytest.fixture
def live(database_url_of, postgres_server, _template, tmp_path) -> Iterator[Live]:
    options = {
        "account": LIVE, "tape": write_tape(tmp_path / "tape"), "clock_start": now(),
        "extra": ("--tls-self-signed", str(tmp_path / "tls")),
    }  # fmt: skip
    with fresh_database(postgres_server, _template) as name:
        paper_url = postgres_server.url(name, "ibkr_platform")
        record_paper_sessions(Database(paper_url))
        with start_gateway(module="ibkr_assets_tests.live_venue", **options) as gateway:
            gateway.run_clock(1)
            yield Live(database_url_of, paper_url, gateway, tmp_path)


def record_paper_sessions(paper: Database) -> None:
    """Three sessions of a paper account, the newest first, and nothing that went wrong."""
    PostgresLedger(paper).of_account(account_ref(PAPER)).lease.register(PAPER, Mode.PAPER)
    today = now().astimezone(NEW_YORK).date()
    with paper.connect() as connection:
        for session in NYSE.sessions_before(today + timedelta(days=1), 3):
            connection.execute(
                "insert into oms.account_snapshot (account_ref, epoch, market_at, cash_usd, accrued_dividends_usd, "
                "positions_value_usd, nav_platform_usd, nav_broker_usd, broker_cash_usd, positions) "
                "values (%s, 1, %s, 1, 0, 0, 1, 1, 1, '[]')", (account_ref(PAPER), session.opens_at),
            )  # fmt: skip
    paper.close()


@pytest.mark.slow
@pytest.mark.skipif(
    is_near_an_edge(now()), reason="the exchange opens or closes about now: no order may leave, and live time is real"
)
def test_a_live_order_leaves_when_every_key_agrees_and_no_process_starts_when_one_does_not(
    live: Live, database: Database
) -> None:
    assert "mode live is refused: arm: no operator has armed" in live.refusal()
    armed = live.runs("arm", "--for", "2h", "--reason", "opening watched")
    assert armed.returncode == 0, armed.stderr
    other = live.write_config("other.yaml", "mode: live\n# one word more\n")
    paper = live.write_config("paper.yaml", "mode: paper\n")
    for key, changes in (
        ("environment", {"IBKR_ASSETS_LIVE_ARM": None}),
        ("config", {"IBKR_ASSETS_CONFIG": paper}),
        ("arm", {"IBKR_ASSETS_CONFIG": other}),
        ("database", {"IBKR_ASSETS_DATABASE_URL": live.paper_url}),
        ("role", {"IBKR_ASSETS_DATABASE_URL": live.database_url_of("ibkr_app")}),
    ):
        assert f"{key}:" in live.refusal(**changes), key
    assert live.gateway.ledger() == []

    book = PostgresIntents(database, "default")
    record = book.propose(an_order(), approve, now=now(), dagster_run_id=None, created_by="test")
    with live.submitter():
        deadline = time.monotonic() + BOUND_S
        while not (accepted := live.gateway.ledger("accept")):
            (waiting,) = book.intents()
            said = (live.directory / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, f"{waiting.state} {waiting.reason}; {said}"
            time.sleep(0.1)
        while book.intents()[0].state not in (OrderState.WORKING, OrderState.FILLED):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert [row["coid"] for row in accepted] == [record.client_order_id]
    assert [found for found in check_invariants(database) if found["violations"]] == []
    with database.connect() as connection:
        permits = connection.execute("select mode, is_granted from oms.permit order by 1, 2").fetchall()
    assert permits[-1] == ("live", True)

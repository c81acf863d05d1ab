"""No planted secret stands anywhere that the platform writes or shows, after every fault of the gateway's table.

Looked at after each fault: log lines as written and as they were meant before secrets are taken out of them, with
their tracebacks; Dagster's events, tags and configuration of the run that fetched bars under it, step failures
included; every row of the platform's database; the pages that show trouble, and `/metrics`. At the end: every page that
a viewer may see. What only a whole stack has (MLflow's server and artifacts, Dagster's own database and files, logs of
the other processes) is looked at by the soak, whose short form is `ibkr_assets_tests/soak/test_soak.py`.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import ssl
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import trustme
from fastapi import FastAPI
from starlette.testclient import TestClient

from ibkr_assets.adapters.ibkr.client import broker
from ibkr_assets.adapters.ibkr.transport import GatewayNotTrusted
from ibkr_assets.adapters.logs import configure_logs
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.dashboard.access import Role
from ibkr_assets.dashboard.server import build
from ibkr_assets.dashboard.sources import Sources
from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.domain.order import account_ref
from ibkr_assets.settings import load
from ibkr_assets.simulator.faults.table import TABLE
from ibkr_assets_tests.databases import fresh_database
from ibkr_assets_tests.faults.trading import Trading, start_flat_gateway
from ibkr_assets_tests.gateway import TOKEN, RunningGateway, start_gateway
from ibkr_assets_tests.security import canaries
from ibkr_assets_tests.security.strikes import PLAN, Platform, Told, telling
from ibkr_assets_tests.simulator.clients import connect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
HOST = "http://127.0.0.1:8000"
ROLES = ("ibkr_platform", "ibkr_app", "ibkr_submitter", "ibkr_dashboard", "ibkr_dagster", "ibkr_mlflow", "postgres")
#: Pages on which a fault may leave words; the others are looked at once.
TROUBLE = ("/", "/orders", "/alerts", "/system", "/metrics")


@dataclass
class Looked:
    """What came of it: by fault how often it struck, and everything that was looked through."""

    struck: dict[str, int]
    search: canaries.Search
    reader: psycopg.Connection
    texts: dict[str, str]


@pytest.fixture(scope="module")
def looked(postgres_server, _template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looked]:
    """Every fault, one after the other, and a look at every sink after each."""
    directory = tmp_path_factory.mktemp("strikes")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with (
        fresh_database(postgres_server, _template) as name,
        start_flat_gateway(directory / "gateway", account=canaries.ACCOUNT) as gateway,
        pytest.MonkeyPatch.context() as patch,
    ):
        for variable, text in _environment(directory, gateway, postgres_server.url(name, "ibkr_app")).items():
            patch.setenv(variable, text)
        settings, written, told = load(), io.StringIO(), Told()
        configure_logs("strikes", settings, level=logging.DEBUG, stream=written, form="json")
        root.addHandler(told)
        trading = Trading(gateway, postgres_server.url(name, "ibkr_platform"), directory)
        trading.order_timeout_s = trading.read_timeout_s = 0.4
        trading.first_penalty_s = 0.1
        platform = Platform(trading, settings, directory, written, told)
        pages = Database(postgres_server.url(name, "ibkr_dashboard"))
        app = build(Sources(settings, pages, account_ref(gateway.account)))
        search = canaries.Search(_secrets(postgres_server, name, gateway))
        try:
            with telling(settings), psycopg.connect(postgres_server.url(name, "postgres"), autocommit=True) as reader:
                client = _viewer(app)
                search.secrets["dashboard session"] = next(one.value or "" for one in client.cookies.jar)
                trading.start()
                for fault_id in PLAN:
                    platform.strike(fault_id)
                    _look(platform, search, fault_id, client, reader)
                struck = platform.struck | _strike_elsewhere(search, directory)
                search.in_pages(client)
                texts = {
                    "log": written.getvalue(), "words": "\n".join(told.lines), "events": "\n".join(platform.events),
                    "page": "".join(client.get(page).text for page in TROUBLE),
                }  # fmt: skip
                yield Looked(struck, search, reader, texts)
        finally:
            trading.close()
            pages.close()
            root.handlers[:] = handlers
            root.setLevel(level)


def _environment(directory: Path, gateway: RunningGateway, url: str) -> dict[str, str]:
    """Bars are of another symbol than orders: bars that are not believed stop their instrument."""
    return canaries.environment(directory) | {
        "IBKR_ASSETS_MODE": "sim", "IBKR_ASSETS_ACCOUNT": gateway.account, "IBKR_ASSETS_DATABASE_URL": url,
        "IBKR_ASSETS_GATEWAY_URL": gateway.api_url, "IBKR_ASSETS_CLOCK_URL": gateway.clock_url,
        "IBKR_ASSETS_ADMIN_TOKEN": TOKEN, "IBKR_ASSETS_DATA_DIR": str(directory / "data"),
        "IBKR_ASSETS__MARKET__SYMBOLS": '["MSFT"]', "IBKR_ASSETS__MARKET__FIRST_SESSION": "2004-01-05",
        "IBKR_ASSETS__MARKET__WARM_UP_SESSIONS": "5", "IBKR_ASSETS__GATEWAY__PACE": "1000",
        "IBKR_ASSETS__GATEWAY__READ_TIMEOUT_S": "0.5",
    }  # fmt: skip


def _secrets(server, database: str, gateway: RunningGateway) -> dict[str, str]:
    """By name: what was planted, and the passwords that are there anyway."""
    found = {
        "account": gateway.account, "admin token": TOKEN, "metrics token": canaries.METRICS_TOKEN,
        "channel token": canaries.CHANNEL_TOKEN, "model key": canaries.MODEL_KEY,
    }  # fmt: skip
    for role in ROLES:
        found[f"password of {role}"] = str(psycopg.conninfo.conninfo_to_dict(server.url(database, role))["password"])
    with connect(gateway) as api:
        found["gateway session"] = str(api.post("/tickle").json()["session"])
    return found


def _viewer(app: FastAPI) -> TestClient:
    client = TestClient(app, base_url=HOST, follow_redirects=False)
    sessions = app.state.sessions
    client.cookies.set("ibkr-assets-8000", sessions.write(sessions.begin("somebody", Role.VIEWER)))
    client.headers["authorization"] = f"Bearer {canaries.METRICS_TOKEN}"
    return client


def _look(
    platform: Platform, search: canaries.Search, fault_id: str, client: TestClient, reader: psycopg.Connection
) -> None:
    """All that was said since the last look, and all that is kept and shown now."""
    search.secrets |= {f"gateway session {number}": one for number, one in enumerate(sorted(platform.sessions))}
    search.in_text(f"{fault_id}: log", platform.new_lines())
    search.in_text(f"{fault_id}: words", platform.new_words())
    search.in_text(f"{fault_id}: events", platform.new_events())
    for page in TROUBLE:
        answer = client.get(page)
        assert answer.status_code == 200, (fault_id, page)
        search.in_text(f"{fault_id}: page {page}", answer.text + str(answer.headers))
    search.in_database("platform", reader)


def _strike_elsewhere(search: canaries.Search, directory: Path) -> dict[str, int]:
    """F52: a gateway with a certificate, and then with another."""
    pairs = []
    for name in ("first", "second"):
        leaf = trustme.CA().issue_cert("127.0.0.1")
        pairs.append((directory / f"{name}.pem", directory / f"{name}.key"))
        leaf.cert_chain_pems[0].write_to_path(pairs[-1][0])
        leaf.private_key_pem.write_to_path(pairs[-1][1])
    (cert, key), (other, other_key) = pairs
    with start_gateway(account=canaries.ACCOUNT, extra=("--tls-cert", str(cert), "--tls-key", str(key))) as gateway:
        side = broker(
            gateway.api_url, ca="sha256:" + hashlib.sha256(ssl.PEM_cert_to_DER_cert(cert.read_text())).hexdigest(),
            account=gateway.account, connect_timeout_s=2.0, read_timeout_s=2.0, order_timeout_s=2.0, pace=1000.0,
        )  # fmt: skip
        assert side.open_session().is_ready
        gateway.arm_fault("F52", cert=str(other), key=str(other_key))
        for kind in (Unavailable, GatewayNotTrusted):  # the one that is cut off, and the next one
            with pytest.raises(kind) as raised:
                side.cash_ledger()
            search.in_text("F52: words", "".join(traceback.format_exception(raised.value)))
        side.close()
        return {"F52": sum(int(row["struck"]) for row in gateway.admin("GET", "/admin/fault"))}


def test_every_fault_of_the_table_struck(looked: Looked) -> None:
    assert [name for name in TABLE if not looked.struck.get(name)] == []


def test_no_secret_stands_in_a_log_an_error_an_event_a_table_or_a_page(looked: Looked) -> None:
    assert looked.search.hits == []


def test_what_may_be_named_is_found_in_each_of_these_places(looked: Looked) -> None:
    """An order's id: so there are words of the faults everywhere, and the search sees them."""
    named = [set(re.findall(r"q1-[a-z2-7]{26}", looked.texts[place])) for place in ("log", "words", "page")]
    (order, *_) = set.intersection(*named)
    search = canaries.Search({"order": order})
    for place, text in looked.texts.items():
        search.in_text(place, text)
    search.in_database("platform", looked.reader)
    assert {"log", "words", "page", "table platform oms.order_intent"} <= {hit.place for hit in search.hits}
    assert "STEP_FAILURE" in looked.texts["events"]

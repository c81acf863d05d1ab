"""One session of the market through the containers of docker-compose.yml, told as a JSON document.

`python -m ibkr_assets_tests.compose.session WORK` starts every service of the file that needs no profile but the
simulated gateway's, rehearses a session, trades it, looks at every part, for open ports and for secrets, and ends
everything. It must run in namespaces of its own (`engine.run_isolated`).
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import psycopg

from ibkr_assets.adapters.dagster_api import LOCATION, DagsterApi
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.host import is_loopback
from ibkr_assets.domain.order import Mode, account_ref
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.stack.market_time import MarketTime
from ibkr_assets.stack.record import UNSENT, StackRecord
from ibkr_assets.stack.replay import AFTER_CLOSE, JOB, Replay
from ibkr_assets.stack.report import count_mlflow_runs
from ibkr_assets_tests.compose.engine import Engine
from ibkr_assets_tests.compose.file import ROOT, read_compose, read_variables
from ibkr_assets_tests.compose.network import has_way_out, listening_on, look_from
from ibkr_assets_tests.compose.stranger import open_ports
from ibkr_assets_tests.security import canaries

VARIABLES = {
    **read_variables(ROOT / "docker" / "simulated" / "compose.env"), "SIMULATED_CLOCK_SPEED": "0",
    "IBKR_ASSETS_ACCOUNT": canaries.ACCOUNT,
}  # fmt: skip
DAY = date(2012, 10, 1)
STRATEGY = "sma_cross_10_30"
OWN_STRATEGIES = "/etc/ibkr_assets/own/strategies.yaml"
ADMIN = "http://market-clock:5010"
#: Where the user of this machine finds the dashboard.
DASHBOARD = "http://127.0.0.1:8000"
#: A port that a file publishes without an address: what the stranger must see, or the look from outside is blind.
CARELESS = 9999
_USER, _PASSWORD = "me", "correct horse"


def services() -> list[str]:
    """What `docker compose up` starts with these variables."""
    profile = VARIABLES["COMPOSE_PROFILES"]
    found = read_compose(VARIABLES)["services"]
    return [name for name, service in found.items() if service.get("profiles", [profile]) == [profile]]


def write_secrets(directory: Path) -> dict[str, str]:
    """A file for each secret of the file, as the README makes them; returns what is in them."""
    from ibkr_assets.dashboard.login import make_hash

    directory.mkdir(parents=True)
    made = {name: secrets.token_hex(24) for name in read_compose({})["secrets"]}
    made["dashboard_users"] = json.dumps([{"name": _USER, "role": "arm", "password_hash": make_hash(_PASSWORD)}])
    made["object_store"] = ""
    for name, text in made.items():
        (directory / name).write_text(text + "\n", encoding="utf-8")
    return made


def main(work: Path) -> None:
    """Everything, in order; the document is written to `work/told.json`."""
    began = time.monotonic()
    told: dict[str, Any] = {}
    known = write_secrets(work / "secrets")
    engine = Engine(work, VARIABLES)
    try:
        engine.start(*services())
        _wait_for_all(engine)
        told["ready_s"] = round(time.monotonic() - began, 1)
        added = engine.run("cli", "strategies", "add", "--file", OWN_STRATEGIES)
        told["added"] = [added.returncode, added.stderr]
        url = f"postgresql://ibkr_app:{known['ibkr_app']}@postgres:5432/platform"
        database = Database(url)
        try:
            _trade(engine, database, known["admin_token"], told)
        finally:
            database.close()
        _look(engine, told)
        _look_for_ports(engine, told)
        _look_for_secrets(engine, known, told)
        told["restarts"] = {name: one.restarts for name, one in engine.containers.items() if one.restarts}
    finally:
        told["ended"] = engine.stop()
        told["seconds"] = round(time.monotonic() - began, 1)
        (work / "told.json").write_text(json.dumps(told, indent=2), encoding="utf-8")


def _wait_for_all(engine: Engine) -> None:
    for url in ("http://webserver:3000/server_info", "http://mlflow:5001/health"):
        engine.wait(url, lambda url=url: _status(url) == httpx.codes.OK)
    engine.wait("the dashboard", lambda: engine.is_("dashboard", "service_healthy"))
    for name in ("submitter", "watchdog", "alerts"):
        engine.wait(name, lambda name=name: "ready" in engine.log(name))
    engine.wait("the daemon", lambda: "Instance is configured" in engine.log("daemon"))


def _trade(engine: Engine, database: Database, token: str, told: dict[str, Any]) -> None:
    """The session once without asking for anything but a rehearsal, and once in earnest."""
    calendar, market = exchange_calendar("XNYS"), MarketTime(f"{ADMIN}/clock", token)
    session = calendar.session(DAY)
    record = StackRecord(database, account_ref(VARIABLES["IBKR_ASSETS_ACCOUNT"]))
    with DagsterApi("http://webserver:3000", LOCATION) as dagster:
        engine.wait("the first account snapshot", record.snapshot)
        market.set(session.closes_at + AFTER_CLOSE)
        config = {"ops": {name: {"config": {"strategy_id": STRATEGY}} for name in ("signals", "orders")}}
        run_id = dagster.launch(JOB, partition=DAY, config=config, tags={})
        run = engine.wait("the rehearsal", lambda: (found := dagster.status(run_id)).is_over and found)
        told["rehearsal"] = [run.status, "" if run.is_success else dagster.why_failed(run_id)]
        engine.wait("rehearsed orders", lambda: not record.intents_in(UNSENT))
        told["rehearsed"] = _rows(database, "dry_run")
        told["accepted_of_rehearsal"] = _accepted(token)
        replayed = Replay(
            dagster=dagster, market=market, record=record, calendar=calendar, mode=Mode.SIM,
            due=lambda _: {STRATEGY: []}, check=lambda: None, say=lambda line: told.setdefault("said", line),
        ).run([session])  # fmt: skip
        told["timings"] = [timing.total for timing in replayed.timings]
    told["orders"] = _rows(database, "sim")
    told["accepted"] = _accepted(token)
    told["mlflow_runs"] = count_mlflow_runs("http://mlflow:5001", "ibkr_assets")


def _look(engine: Engine, told: dict[str, Any]) -> None:
    """What each part says of itself, and what a container must not be able to do."""
    doctor = engine.run("cli", "doctor", "--json")
    checks = json.loads(doctor.stdout)["checks"] if doctor.stdout else doctor.stderr
    told["doctor"] = {row["name"]: [row["ok"], row["detail"]] for row in checks} if doctor.stdout else checks
    told["healthy"] = {
        name: engine.enter(name, *service["healthcheck"]["test"][1:]).returncode
        for name, service in engine.services.items()
        if name in engine.containers and "healthcheck" in service
    }
    asked = f"http://{engine.addresses['mlflow']['platform']}:5001/api/2.0/mlflow/experiments/search?max_results=1"
    hosts = ("mlflow:5001", "localhost:5001", "evil.example")
    told["mlflow_answers"] = {host: _status(asked, host) for host in hosts}
    probe = (
        "touch /probe /home/ibkr/probe 2>/dev/null; cat /run/secrets/ibkr_submitter 2>/dev/null; id -u; ls /run/secrets"
    )
    told["inside_code"] = engine.enter("code", "sh", "-c", probe).stdout.split()
    told["running"] = sorted(name for name, one in engine.containers.items() if one.process.poll() is None)


def _look_for_ports(engine: Engine, told: dict[str, Any]) -> None:
    """What each container listens on, what is open on this machine's loopback, and what a stranger beside it finds."""
    told["listening"] = {
        name: sorted({port for address, port in listening_on(one.process.pid) if not is_loopback(address)})
        for name, one in engine.containers.items()
        if one.process.poll() is None
    }
    inside = {
        address: ports for name, ports in told["listening"].items() for address in engine.addresses[name].values()
    }
    told["open_here"] = sorted(open_ports("127.0.0.1", range(1, 65536)))
    told["open_outside"] = engine.networks.look_from_outside(inside)
    engine.networks.publish(f"{CARELESS}:8000", engine.addresses["dashboard"])
    told["open_outside_if_careless"] = engine.networks.look_from_outside({})
    _look_from_inside(engine, inside, told)


def _look_from_inside(engine: Engine, inside: Mapping[str, list[int]], told: dict[str, Any]) -> None:
    """Who of the containers reaches which port of another, on any address, and who has a way out of this machine."""
    owners = {address: name for name, found in engine.addresses.items() for address in found.values()}
    pids = {name: engine.containers[name].process.pid for name in told["running"]}
    reached = {
        name: {(owners[address], port) for address, port in look_from(pid, inside)} for name, pid in pids.items()
    }
    told["reached"] = {
        f"{name}:{port}": sorted(by for by, found in reached.items() if (name, port) in found and by != name)
        for name, ports in told["listening"].items()
        for port in ports
    }
    told["way_out"] = sorted(name for name, pid in pids.items() if has_way_out(pid))


def _look_for_secrets(engine: Engine, known: dict[str, str], told: dict[str, Any]) -> None:
    """Every page through the published port, every row of every database, every log and every file that was kept."""
    found = canaries.Search({name: text for name, text in known.items() if text} | {"account": canaries.ACCOUNT})
    with httpx.Client(base_url=DASHBOARD, trust_env=False, timeout=60, headers={"origin": DASHBOARD}) as client:
        entered = client.post("/login", data={"name": _USER, "password": _PASSWORD})
        told["entered"] = entered.status_code
        found.in_pages(client)
    for path in sorted((engine.work / "logs").glob("*.log")):
        found.in_file(path, f"logs/{path.name}")
    for volume in ("state", "mlflow", "pacing"):
        for path in sorted((engine.work / "volumes" / volume).rglob("*")):
            found.in_file(path, f"{volume}/{path.relative_to(engine.work / 'volumes' / volume)}")
    for database in canaries.DATABASES:
        url = f"postgresql://postgres:{known['postgres_password']}@postgres:5432/{database}"
        with psycopg.connect(url) as connection:
            found.in_database(database, connection)
    told["leaks"] = [[hit.secret, hit.place] for hit in found.hits]
    told["looked_at"] = found.places


def _rows(database: Database, mode: str) -> list[list[str]]:
    query = (
        "select client_order_id, symbol, state, filled::text, reason from oms.order_intent where mode = %s order by 2"
    )
    with database.connect() as connection:
        return [list(row) for row in connection.execute(query, (mode,)).fetchall()]


def _accepted(token: str) -> list[str]:
    headers = {"Authorization": f"Bearer {token}"}
    rows = httpx.get(f"{ADMIN}/admin/ledger", headers=headers, timeout=30, trust_env=False).raise_for_status().json()
    return sorted(row["coid"] for row in rows if row["event"] == "accept")


def _status(url: str, host: str | None = None) -> int:
    try:
        headers = {} if host is None else {"Host": host}
        return httpx.get(url, headers=headers, timeout=5, trust_env=False).status_code
    except httpx.HTTPError:
        return 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))

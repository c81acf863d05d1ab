"""The gateway as a process: start, stop, kill and come back, the same ledger again, TLS."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import trustme

from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import Api, connect

START = "2012-10-01T13:00:00+00:00"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ibkr_assets.simulator", "--admin-token", "t", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_port_in_use_is_one_line_that_names_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run("--port", str(port))
    assert ended.returncode == 78
    assert ended.stderr.startswith(f"port: cannot listen on 127.0.0.1:{port}")
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


def test_a_tape_that_is_not_there_and_a_start_without_zone_are_refused(tmp_path: Path) -> None:
    assert run("--tape", str(tmp_path / "none")).stderr.startswith("tape: no such directory")
    assert run("--clock-start", "2012-10-01T13:00:00").stderr.startswith("clock_start: must carry a time zone")


def test_sigterm_ends_it_cleanly() -> None:
    with start_gateway() as gateway:
        assert gateway.now().isoformat() == "2000-03-02T14:00:00+00:00"
        assert gateway.stop() == 0


def play(gateway: RunningGateway, api: Api) -> None:
    api.place_through(cOID="a", price=640.0)
    api.place_through(cOID="b")
    api.place(cOID="b")
    api.place_through(cOID="c", price=600.0, tif="GTC")
    gateway.set_clock("2012-10-01T21:00:00+00:00")


def facts(api: Api) -> list[Any]:
    return [
        sorted(api.live_orders(), key=lambda row: str(row["orderId"])),
        api.trades(),
        api.get(f"/portfolio/{api.account}/ledger").json(),
        api.get(f"/portfolio2/{api.account}/positions").json(),
    ]


def test_a_killed_gateway_comes_back_and_remembers(tmp_path: Path) -> None:
    with start_gateway(clock_start=START, state_dir=tmp_path) as gateway:
        port = int(gateway.api_url.split(":")[2].split("/")[0])
        with connect(gateway) as api:
            play(gateway, api)
            before = facts(api)
            session = api.get("/tickle").json()["session"]
        ledger = gateway.ledger()
        gateway.kill()
    with (tmp_path / "ledger.ndjson").open("ab") as file:
        file.write(b'{"seq": 99, "t_virt')  # a line that the crash cut short
    with start_gateway(clock_start=START, state_dir=tmp_path, port=port) as gateway, connect(gateway) as api:
        assert gateway.now().isoformat() == "2012-10-01T21:00:00+00:00"
        assert api.get("/tickle").json()["session"] != session
        assert gateway.ledger() == ledger
        assert facts(api) == before
        assert api.place(cOID="c").status_code == 400
        api.place_through(cOID="d", tif="GTC", price=645.0)
        seqs = [row["seq"] for row in gateway.ledger()]
        assert seqs == list(range(1, len(seqs) + 1))
    ids = [json.loads(line)["order_id"] for line in (tmp_path / "ledger.ndjson").read_text().splitlines()]
    accepted = {order_id for order_id in ids if order_id is not None}
    assert len(accepted) == 4


def test_the_same_seed_tape_and_requests_give_the_same_ledger() -> None:
    ledgers = []
    for seed in (5, 5, 6):
        with start_gateway(clock_start=START, seed=seed) as gateway, connect(gateway) as api:
            play(gateway, api)
            rows = gateway.ledger()
        ledgers.append([{k: v for k, v in row.items() if k not in ("t_mono", "peer_port")} for row in rows])
    assert ledgers[0] == ledgers[1]
    assert ledgers[0] != ledgers[2]


def test_a_ledger_of_another_account_is_refused(tmp_path: Path) -> None:
    with start_gateway(clock_start=START, state_dir=tmp_path) as gateway, connect(gateway) as api:
        api.place_through(cOID="a")
    ended = run("--state-dir", str(tmp_path), "--account", "DU2")
    assert (ended.returncode, ended.stderr.split(":")[0]) == (78, "state_dir")


def test_it_speaks_tls_with_a_certificate_of_one_s_own(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    cert, key, root = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "root.pem"
    certificate.cert_chain_pems[0].write_to_path(cert)
    certificate.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(root)
    with start_gateway(extra=("--tls-cert", str(cert), "--tls-key", str(key))) as gateway:
        assert gateway.api_url.startswith("https://")
        context = ssl.create_default_context(cafile=str(root))
        assert httpx.get(f"{gateway.api_url}/tickle", verify=context, trust_env=False).status_code == 200
        gateway.arm_fault("F2", routes=["tickle"])
        try:
            httpx.get(f"{gateway.api_url}/tickle", verify=context, trust_env=False)
        except httpx.TransportError:
            pass
        else:
            raise AssertionError("the connection was not reset")

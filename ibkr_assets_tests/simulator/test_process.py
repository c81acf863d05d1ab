"""The gateway as a process: start, stop, kill and come back, the same ledger again, TLS."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, Api, connect

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


def test_bad_use_and_a_certificate_that_is_not_there_are_one_line(tmp_path: Path) -> None:
    for arguments, code, words in (
        (("--pace", "quick"), 2, "argument --pace: invalid float value: 'quick'"),
        (("--tls-cert", str(tmp_path / "c"), "--tls-key", "k"), 78, "tls_cert, tls_key: cannot be used: No such file"),
    ):
        ended = run(*arguments)
        assert (ended.returncode, ended.stdout) == (code, ""), ended.stderr
        assert words in ended.stderr
        assert ended.stderr.count("\n") == 1


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


def run_script(gateway: RunningGateway, api: Api) -> None:
    """A day with a bracket, a group, a chain of questions, refusals, a stale reply, a change and cancels."""
    path = f"/iserver/account/{api.account}"
    order = {"conid": AAPL, "side": "BUY", "orderType": "LMT", "price": 668.0, "quantity": 10, "tif": "DAY"}
    api.reply(api.reply(api.place(cOID="a", price=640.0)))
    stale = api.place(cOID="b", price=641.0)
    api.place(cOID="b", price=641.005)
    api.reply(stale)
    api.post("/iserver/questions/suppress", {"messageIds": ["o354", "o163", "o10331"]})
    exits = [
        order | {"side": "SELL", "price": 675.0, "parentId": "p", "tif": "GTC"},
        order | {"side": "SELL", "orderType": "TRAIL", "price": None, "trailingAmt": 2.0, "trailingType": "%",
                 "parentId": "p", "tif": "GTC"},
    ]  # fmt: skip
    api.post(f"{path}/orders", {"orders": [order | {"cOID": "p", "price": 672.0}, *exits]})
    api.post(f"{path}/orders", {"orders": [order | {"isSingleGroup": True}, order | {"isSingleGroup": True}]})
    api.place(cOID="p")
    kept = api.place_through(cOID="c", price=600.0, tif="GTC")
    gateway.set_clock("2012-10-01T15:00:00+00:00")
    api.post(f"{path}/order/{kept}", order | {"price": 610.0, "tif": "GTC", "quantity": 11})
    gateway.fill(order_id=int(kept), quantity=2, price=610.0)
    gateway.set_clock("2012-10-02T21:00:00+00:00")
    api.cancel(kept)


def test_the_same_seed_tape_and_requests_give_the_same_ledger_byte_for_byte(tmp_path: Path) -> None:
    files = []
    for number, seed in enumerate((5, 5, 6)):
        directory = tmp_path / str(number)
        with start_gateway(clock_start=START, seed=seed, state_dir=directory) as gateway, connect(gateway) as api:
            run_script(gateway, api)
            rows = gateway.admin("GET", "/admin/ledger?all=true")
        files.append((directory / "ledger.ndjson").read_bytes())
        # When and from where each row came is no part of it; it stands in a file beside, a line for a line.
        arrivals = [json.loads(line) for line in (directory / "arrivals.ndjson").read_text().splitlines()]
        assert arrivals == [[row["t_mono"], row["peer_port"]] for row in rows]
    events = {json.loads(line)["event"] for line in files[0].splitlines()}
    assert {"accept", "reject", "question", "reply", "fill", "cancel", "dup_refused", "work", "modify"} <= events
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_half_a_moment_of_the_market_is_dropped_and_happens_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.ndjson"
    with start_gateway(clock_start=START, state_dir=tmp_path) as gateway, connect(gateway) as api:
        run_script(gateway, api)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    rows = [json.loads(line) for line in lines]
    cut = next(i for i, row in enumerate(rows) if row["event"] == "fill")  # at the first open, before its clock row
    end = next(i for i in range(cut, len(rows)) if rows[i]["event"] == "clock")
    path.write_bytes(b"".join(lines[: cut + 1]))
    with start_gateway(clock_start=START, state_dir=tmp_path) as gateway:
        gateway.set_clock(rows[end]["t_virtual"])
        assert gateway.now().isoformat() == rows[end]["t_virtual"]
    assert path.read_bytes().splitlines(keepends=True)[: end + 1] == lines[: end + 1]


def test_a_ledger_of_another_account_is_refused(tmp_path: Path) -> None:
    with start_gateway(clock_start=START, state_dir=tmp_path) as gateway, connect(gateway) as api:
        api.place_through(cOID="a")
    ended = run("--state-dir", str(tmp_path), "--account", "DU2")
    assert (ended.returncode, ended.stderr.split(":")[0]) == (78, "state_dir")


def test_it_makes_a_certificate_of_its_own_once_and_tells_its_pin(tmp_path: Path) -> None:
    pins = []
    for _ in range(2):
        with start_gateway(extra=("--tls-self-signed", str(tmp_path / "tls"))) as gateway:
            word, path, pin = gateway.said[2].split()
            assert (word, path) == ("certificate", str(tmp_path / "tls" / "gateway-cert.pem"))
            context = ssl.create_default_context(cafile=path)
            assert httpx.get(f"{gateway.api_url}/tickle", verify=context, trust_env=False).status_code == 200
            shown = ssl.get_server_certificate(("127.0.0.1", int(gateway.api_url.split(":")[2].split("/")[0])))
            assert pin == "sha256:" + hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).hexdigest()
            pins.append(pin)
    assert pins[0] == pins[1]
    assert (tmp_path / "tls" / "gateway-key.pem").stat().st_mode & 0o777 == 0o600


def test_a_certificate_that_is_for_another_host_is_made_anew(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "127.0.0.2"):
        with start_gateway(extra=("--tls-self-signed", str(tmp_path), "--host", host)) as gateway:
            context = ssl.create_default_context(cafile=str(tmp_path / "gateway-cert.pem"))
            assert host in gateway.api_url
            assert httpx.get(f"{gateway.api_url}/tickle", verify=context, trust_env=False).status_code == 200


def test_the_admin_port_stays_on_the_loopback_wherever_the_api_is(tmp_path: Path) -> None:
    with start_gateway(extra=("--host", "0.0.0.0")) as gateway:
        assert gateway.admin_url.startswith("http://127.0.0.1:")
        assert gateway.api_url.startswith("http://0.0.0.0:")


def test_a_restart_closes_the_port_for_a_while_and_forgets_the_session() -> None:
    with start_gateway(clock_start=START) as gateway, connect(gateway) as api:
        order_id = api.place_through(cOID="kept")
        session = api.get("/tickle").json()["session"]
        api.post("/iserver/questions/suppress", {"messageIds": ["o163"]})
        gateway.admin("POST", "/admin/restart", {"down_s": 0.4})
        began = time.monotonic()
        with pytest.raises(httpx.TransportError):
            api.get("/tickle")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{gateway.api_url}/tickle", trust_env=False)
        while (answer := look(gateway)) is None:
            assert time.monotonic() - began < 5
            time.sleep(0.02)
        assert time.monotonic() - began >= 0.35
        assert answer.json()["session"] != session
        assert api.get("/iserver/account/orders").status_code == 500
        api.get("/iserver/accounts")
        assert [str(row["orderId"]) for row in api.live_orders()] == [order_id]
        assert "message" in api.place(price=640.0).json()[0]


def look(gateway: RunningGateway) -> httpx.Response | None:
    try:
        return httpx.get(f"{gateway.api_url}/tickle", trust_env=False)
    except httpx.ConnectError:
        return None


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


def test_an_operator_who_leaves_in_mid_body_changes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with start_gateway(clock_start=START) as gateway:
        url = httpx.URL(gateway.admin_url)
        before = gateway.now()
        with socket.create_connection((url.host, url.port or 0), timeout=5) as client:
            head = f"POST /admin/clock HTTP/1.1\r\nHost: x\r\nX-Admin-Token: {gateway.token}\r\n"
            client.sendall(head.encode() + b'Content-Length: 500\r\n\r\n{"step_s": 60')
        assert gateway.now() == before
        assert gateway.stop() == 0
    assert "Traceback" not in capfd.readouterr().err


def test_a_client_that_leaves_in_mid_body_is_noted_and_disturbs_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    with start_gateway(clock_start=START) as gateway:
        url = httpx.URL(gateway.api_url)
        path = f"/v1/api/iserver/account/{gateway.account}/orders"
        with socket.create_connection((url.host, url.port), timeout=5) as client:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
            client.sendall(head.encode() + b'{"orders": [{"conid"')
        deadline = time.monotonic() + 10
        while not (rows := gateway.wirelog()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (row,) = rows
        assert (row["route"], row["status"], row["answer"]) == ("submit", "disconnected", "")
        with connect(gateway) as api:
            api.place_through(cOID="after", price=640.0)
        assert [order["coid"] for order in gateway.ledger("accept")] == ["after"]
        assert gateway.stop() == 0
    assert "Traceback" not in capfd.readouterr().err

"""The whole stack, as a person uses it: started, looked at, given more strategies, killed outright, started again."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from ibkr_assets.stack.keeper import marked
from ibkr_assets_tests.journeys.stacks import clean_environment

COMMAND = [sys.executable, "-m", "ibkr_assets.cli"]
SESSIONS = 4
#: Added after the first session, in which the account came to hold 8 % of four of these symbols; a position may have
#: 10 %. Each has an order at the next session, and a limit of its own just above it; the last one's is below. Then all
#: are disabled again.
LIMITS_USD = {"added_aapl": 1050, "added_fb": 1150, "added_goog": 1250, "added_ibm": 1350, "added_msft": 1450}
ADDED: list[dict[str, Any]] = [
    {
        "id": name, "kind": "rsi_reversion", "params": {"period": 2, "low": 99.9, "high": 100.0},
        "symbols": [name.removeprefix("added_").upper() if name in LIMITS_USD else "IBM"],
        "sizing": f"percent:{usd / 1000 - 0.05:g}" if name in LIMITS_USD else "fixed:1",
        "risk": {"max_order_value_usd": str(usd)},
    }
    for name, usd in [*LIMITS_USD.items(), ("too_large", 100)]
]  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(data_dir: Path, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=clean_environment(data_dir),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def add(data_dir: Path, entries: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    file = data_dir / "added.yaml"
    file.write_text(json.dumps(entries))
    return run(data_dir, "strategies", "add", "--file", str(file))


def dagster_runs(status: dict[str, Any]) -> list[dict[str, Any]]:
    """Start, end and tags of every run, as Dagster lists them."""
    url = next(row["url"] for row in status["processes"] if row["name"] == "webserver")
    query = "{runsOrError{... on Runs{results{status startTime endTime tags{key value}}}}}"
    answer = httpx.post(f"{url}/graphql", json={"query": query}, timeout=30, trust_env=False).raise_for_status().json()
    return [
        row | {"tags": {tag["key"]: tag["value"] for tag in row["tags"]}}
        for row in answer["data"]["runsOrError"]["results"]
    ]


def belongings(process: psutil.Process, data_dir: Path) -> list[psutil.Process]:
    found = {child.pid: child for child in process.children(recursive=True)}
    for pid in marked(str(data_dir.resolve())):
        found.setdefault(pid, psutil.Process(pid))
    return list(found.values())


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journey")


@pytest.fixture(scope="module")
def first_life(data_dir: Path) -> Iterator[dict[str, object]]:
    """A stack that is looked at after its first session and killed outright in its third."""
    process = subprocess.Popen(
        [*COMMAND, "up", "--sessions", str(SESSIONS)],
        env=clean_environment(data_dir),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen: dict[str, object] = {"lines": []}
    try:
        assert process.stderr is not None
        for line in process.stderr:
            seen["lines"].append(line)  # type: ignore[attr-defined]
            if line.startswith("[1/"):
                # The replay waits while it is looked at, however long that takes; everything else runs on.
                process.send_signal(signal.SIGSTOP)
                seen["status"] = run(data_dir, "status", "--json")
                seen["env"] = run(data_dir, "env")
                seen["second"] = run(data_dir, "up", "--once")
                seen["added"] = add(data_dir, ADDED)
                process.send_signal(signal.SIGCONT)
            if line.startswith("[2/"):
                process.send_signal(signal.SIGSTOP)
                seen["ledger"] = run(data_dir, "ledger", "export", "--json")
                seen["runs"] = dagster_runs(json.loads(seen["status"].stdout))  # type: ignore[attr-defined]
                seen["backfill"] = run(
                    data_dir, "backfill", "--from", "2012-08-01", "--to", "2012-08-31", "--runs", "2", "--json"
                )
                seen["after_backfill"] = run(data_dir, "ledger", "export", "--json")
                add(data_dir, [entry | {"enabled": False} for entry in ADDED])
                process.send_signal(signal.SIGCONT)
                time.sleep(0.3)  # in the middle of the third session
                break
        else:
            pytest.fail("the stack ended by itself:\n" + "".join(seen["lines"]))  # type: ignore[arg-type]
        everything = belongings(psutil.Process(process.pid), data_dir)
        for victim in [psutil.Process(process.pid), *everything]:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        psutil.wait_procs(everything, timeout=20)
        yield seen
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture(scope="module")
def second_life(first_life: dict[str, object], data_dir: Path) -> subprocess.CompletedProcess[str]:
    """The same again, to its end."""
    return run(data_dir, "up", "--once", "--sessions", str(SESSIONS), "--json", timeout_s=400)


def test_status_names_every_process_and_the_mode(first_life: dict[str, object]) -> None:
    answer = first_life["status"]
    assert isinstance(answer, subprocess.CompletedProcess)
    report = json.loads(answer.stdout)
    assert answer.returncode == 0
    assert report["mode"] == "sim"
    names = {"gateway", "postgres", "code", "daemon", "webserver", "mlflow", "submitter", "watchdog", "dashboard"}
    names |= {"analyst", "alerts"}
    assert {row["name"]: row["state"] for row in report["processes"]} == dict.fromkeys(names, "ready")


def test_env_leads_another_shell_to_the_stack(first_life: dict[str, object], data_dir: Path) -> None:
    answer = first_life["env"]
    assert isinstance(answer, subprocess.CompletedProcess)
    assert f"export DAGSTER_HOME={data_dir}/dagster\n" in answer.stdout
    assert "export IBKR_ASSETS_DATABASE_URL=postgresql://ibkr_app:" in answer.stdout


def test_a_second_stack_on_the_directory_is_refused_in_one_line(first_life: dict[str, object]) -> None:
    answer = first_life["second"]
    assert isinstance(answer, subprocess.CompletedProcess)
    assert answer.returncode == 78
    assert answer.stdout == ""
    assert "is in use by the stack of process" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_strategies_added_while_the_stack_runs_trade_at_the_next_session(first_life: dict[str, object]) -> None:
    added, ledger = first_life["added"], first_life["ledger"]
    assert isinstance(added, subprocess.CompletedProcess)
    assert isinstance(ledger, subprocess.CompletedProcess)
    assert "6 of 6 strategies written" in added.stderr
    orders = {row["decision_key"].split("|")[1]: row for row in json.loads(ledger.stdout)}
    for name, limit_usd in LIMITS_USD.items():
        order = orders[name]
        assert order["state"] == "FILLED", order["reason"]
        assert 0 < Decimal(order["filled"]) * Decimal(order["average_price"]) < limit_usd
    assert orders["too_large"]["state"] == "DENIED"
    assert "order_value" in orders["too_large"]["reason"]


def test_they_decide_at_once_each_in_a_run_of_its_own(first_life: dict[str, object]) -> None:
    runs = first_life["runs"]
    assert isinstance(runs, list)
    spans = {
        run["tags"]["ibkr_assets/strategy"]: (run["startTime"], run["endTime"])
        for run in runs
        if run["tags"]["dagster/partition"] == "2012-10-02"
    }
    assert spans.keys() == {"sma_cross_10_30", *(entry["id"] for entry in ADDED)}
    at_once = max(sum(start <= moment < end for start, end in spans.values()) for moment, _ in spans.values())
    assert at_once >= 5, sorted(spans.values())


def test_a_backfill_in_parts_fills_features_in_and_orders_nothing(first_life: dict[str, object]) -> None:
    done, before, after = first_life["backfill"], first_life["ledger"], first_life["after_backfill"]
    assert isinstance(done, subprocess.CompletedProcess)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["symbols"], told["runs"], told["attempts"]) == (5, 2, 2)
    assert isinstance(before, subprocess.CompletedProcess)
    assert isinstance(after, subprocess.CompletedProcess)
    assert len(json.loads(after.stdout)) == len(json.loads(before.stdout))


def test_after_a_kill_of_everything_the_next_up_continues(second_life: subprocess.CompletedProcess[str]) -> None:
    assert second_life.returncode == 0, second_life.stderr
    replayed = [line for line in second_life.stderr.splitlines() if line.startswith("[")]
    days = [line.split()[1] for line in replayed]
    # The third is not replayed again where the kill came so late that its orders had settled.
    assert days in (["2012-10-03", "2012-10-04"], ["2012-10-04"])


def test_the_document_has_what_the_contract_says(second_life: subprocess.CompletedProcess[str]) -> None:
    document = json.loads(second_life.stdout)
    assert set(document) == {
        "sessions", "symbols", "bars", "features", "signals", "intents", "orders", "fills", "nav", "dagster_runs",
        "mlflow_runs", "seconds", "urls",
    }  # fmt: skip
    assert document["sessions"] == SESSIONS
    assert document["symbols"] == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    assert document["bars"] == {"raw": 5 * SESSIONS, "validated": 5 * SESSIONS, "quarantined": 0}
    assert document["features"] == 5 * SESSIONS
    assert document["signals"] == 5 * SESSIONS + len(ADDED)
    assert set(document["intents"]) == {"approved", "denied"}
    assert document["orders"]["FILLED"] > 0
    assert document["fills"] >= document["orders"]["FILLED"]
    assert document["dagster_runs"]["success"] == SESSIONS + len(ADDED)
    assert document["mlflow_runs"] == SESSIONS + len(ADDED)
    assert {"set_up", "replay", "per_session_median"} <= set(document["seconds"])


def test_both_sides_have_the_same_net_asset_value_to_the_cent(second_life: subprocess.CompletedProcess[str]) -> None:
    nav = json.loads(second_life.stdout)["nav"]
    assert nav["platform"] == nav["gateway"]
    assert 80_000 < nav["platform"] < 120_000


def test_the_gateway_took_every_order_once(second_life: subprocess.CompletedProcess[str], data_dir: Path) -> None:
    rows = [json.loads(line) for line in (data_dir / "gateway" / "ledger.ndjson").read_text().splitlines()]
    accepted = Counter(row["coid"] for row in rows if row["event"] == "accept")
    assert accepted
    assert set(accepted.values()) == {1}
    orders = json.loads(second_life.stdout)["orders"]
    assert sum(accepted.values()) == sum(orders.values()) - orders["DENIED"]


def test_nothing_is_left_running(second_life: subprocess.CompletedProcess[str], data_dir: Path) -> None:
    assert marked(str(data_dir.resolve())) == []
    assert run(data_dir, "status").returncode == 1

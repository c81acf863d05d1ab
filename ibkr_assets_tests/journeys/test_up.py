"""The whole stack, as a person uses it: started, looked at, killed outright in the middle, and started again."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ibkr_assets.stack.keeper import marked

COMMAND = [sys.executable, "-m", "ibkr_assets.cli"]
SESSIONS = 4

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def clean_environment(data_dir: Path) -> dict[str, str]:
    ours = ("IBKR_ASSETS", "MLFLOW", "DAGSTER")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**environment, "IBKR_ASSETS_DATA_DIR": str(data_dir)}


def run(data_dir: Path, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=clean_environment(data_dir),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


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
                process.send_signal(signal.SIGCONT)
            if line.startswith("[2/"):
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
    assert document["signals"] == 5 * SESSIONS
    assert set(document["intents"]) == {"approved", "denied"}
    assert document["orders"]["FILLED"] > 0
    assert document["fills"] >= document["orders"]["FILLED"]
    assert document["dagster_runs"]["success"] == SESSIONS
    assert document["mlflow_runs"] == SESSIONS
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
    assert sum(accepted.values()) == sum(json.loads(second_life.stdout)["orders"].values())


def test_nothing_is_left_running(second_life: subprocess.CompletedProcess[str], data_dir: Path) -> None:
    assert marked(str(data_dir.resolve())) == []
    assert run(data_dir, "status").returncode == 1

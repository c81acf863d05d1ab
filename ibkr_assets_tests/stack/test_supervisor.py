"""The supervisor with real, tiny processes: order, readiness, deaths, and that nothing is ever left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ibkr_assets.domain.errors import StackFailure
from ibkr_assets.stack.child import Service
from ibkr_assets.stack.keeper import MARK_VARIABLE, marked
from ibkr_assets.stack.probes import SaysLine
from ibkr_assets.stack.supervisor import Supervisor

SLEEPERS = Path(__file__).with_name("sleepers.py")


def until(condition: Callable[[], bool], timeout_s: float = 15.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not (is_met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_met


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def python(name: str, directory: Path, code: str, *after: str, may_restart: bool = False, **more: object) -> Service:
    """A process that runs the code and is ready when it printed `ready`."""
    log = directory / f"{name}.log"
    ready = SaysLine(log, "^ready$")
    return Service(
        name,
        (sys.executable, "-I", "-S", "-u", "-c", code),
        log,
        ready,
        environment={"DIRECTORY": str(directory), **os.environ},
        prepare=ready.mark,
        after=after,
        may_restart=may_restart,
        ready_timeout_s=15,
        **more,  # type: ignore[arg-type]
    )


SLEEP = "import time; print('ready'); time.sleep(60)"


@pytest.fixture
def said() -> list[str]:
    return []


def test_a_service_starts_only_when_those_it_needs_are_ready(tmp_path: Path, said: list[str]) -> None:
    order: list[str] = []
    slow = "import time; time.sleep(0.3); print('ready'); time.sleep(60)"
    services = [
        Service("last", (), tmp_path / "last.log", prepare=lambda: order.append("last"), after=("slow", "step")),
        python("slow", tmp_path, slow),
        Service("step", (), tmp_path / "step.log", prepare=lambda: order.append("step"), after=("slow",)),
    ]
    with Supervisor(services, marker=str(tmp_path), say=said.append):
        assert order == ["step", "last"]
    assert [line.split()[0] for line in said] == ["slow", "step", "last"]


def test_services_that_do_not_need_each_other_start_side_by_side(tmp_path: Path, said: list[str]) -> None:
    slow = "import time; time.sleep(1); print('ready'); time.sleep(60)"
    services = [python(f"slow{n}", tmp_path, slow) for n in range(4)]
    began = time.monotonic()
    with Supervisor(services, marker=str(tmp_path), say=said.append):
        assert time.monotonic() - began < 3.5


def test_they_stop_in_reverse_order(tmp_path: Path, said: list[str]) -> None:
    code = """
import os, signal, sys, time
def end(*_):
    time.sleep(0.2)
    with open(os.environ["DIRECTORY"] + "/stopped", "a") as f: f.write(sys.argv[1] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready")
while True: time.sleep(1)
"""
    step = Service("databases", (), tmp_path / "d.log", after=("postgres",))
    services = [step]
    for name, needed in (("submitter", "gateway"), ("gateway", "databases"), ("postgres", None)):
        service = python(name, tmp_path, code, *([needed] if needed else []))
        services.append(Service(**{**_fields(service), "command": (*service.command, name)}))
    with Supervisor(services, marker=str(tmp_path), say=said.append):
        pass
    assert (tmp_path / "stopped").read_text().split() == ["submitter", "gateway", "postgres"]


def test_a_death_before_it_was_ready_names_the_service_its_code_and_its_last_words(
    tmp_path: Path, said: list[str]
) -> None:
    services = [
        python("good", tmp_path, SLEEP),
        python("bad", tmp_path, "print('no such table: x'); raise SystemExit(3)", "good", may_restart=True),
    ]
    with (
        pytest.raises(
            StackFailure, match=r"bad: ended with exit code 3 before it was ready; see .*bad\.log\n.*no such"
        ),
        Supervisor(services, marker=str(tmp_path), say=said.append),
    ):
        pass
    assert marked(str(tmp_path)) == []


def test_a_service_that_never_gets_ready_is_named_after_its_time(tmp_path: Path, said: list[str]) -> None:
    service = python("mute", tmp_path, "import time; print('still loading'); time.sleep(60)")
    short = Service(**{**_fields(service), "ready_timeout_s": 0.5})
    with (
        pytest.raises(StackFailure, match=r"mute: not ready after 0 s; see .*\n +still loading"),
        Supervisor([short], marker=str(tmp_path), say=said.append),
    ):
        pass


def test_an_error_of_a_preparation_comes_through_as_it_is(tmp_path: Path, said: list[str]) -> None:
    def refuse() -> None:
        raise ValueError("schema is newer")

    step = Service("migrations", (), tmp_path / "m.log", prepare=refuse)
    with pytest.raises(ValueError, match="schema is newer"), Supervisor([step], marker="x", say=said.append):
        pass


def test_a_program_that_is_not_there_says_so(tmp_path: Path, said: list[str]) -> None:
    service = Service("ghost", ("/no/such/program",), tmp_path / "ghost.log", lambda: False)
    with (
        pytest.raises(StackFailure, match="cannot run /no/such/program: No such file"),
        Supervisor([service], marker=str(tmp_path), say=said.append),
    ):
        pass


def test_a_service_that_may_is_started_again(tmp_path: Path, said: list[str]) -> None:
    changes: list[int] = []
    services = [python("gateway", tmp_path, SLEEP, may_restart=True)]
    with Supervisor(
        services, marker="x", say=said.append, on_change=lambda them: changes.append(len(them))
    ) as supervisor:
        first = supervisor.processes()[0]["pid"]
        os.kill(first, signal.SIGKILL)
        assert until(lambda: supervisor.processes()[0]["state"] == "ready" and supervisor.processes()[0]["restarts"])
        second = supervisor.processes()[0]
        assert second["pid"] != first
        supervisor.check()
    assert len(changes) == 3  # ready, died, ready again
    assert any("gateway: was killed by SIGKILL; restart 1 of 5" in line for line in said)


def test_a_crash_that_was_asked_for_is_not_asked_for_again(tmp_path: Path, said: list[str]) -> None:
    code = "import os, time; print(os.environ.get('IBKR_ASSETS_CRASH')); print('ready'); time.sleep(60)"
    service = python("submitter", tmp_path, code, may_restart=True)
    environment = {**service.environment, "IBKR_ASSETS_CRASH": "after_send:1"}
    armed = Service(**{**_fields(service), "environment": environment})
    with Supervisor([armed], marker=str(tmp_path), say=said.append) as supervisor:
        os.kill(supervisor.processes()[0]["pid"], signal.SIGKILL)
        assert until(lambda: (tmp_path / "submitter.log").read_text().count("ready") == 2)
    assert (tmp_path / "submitter.log").read_text().split() == ["after_send:1", "ready", "None", "ready"]


def test_a_death_that_matters_ends_the_stack(tmp_path: Path, said: list[str]) -> None:
    services = [python("postgres", tmp_path, SLEEP), python("web", tmp_path, SLEEP, "postgres", may_restart=True)]
    with Supervisor(services, marker=str(tmp_path), say=said.append) as supervisor:
        os.kill(supervisor.processes()[0]["pid"], signal.SIGKILL)
        with pytest.raises(StackFailure, match="postgres: was killed by SIGKILL, which ends the stack"):
            until(lambda: bool(supervisor.check()))
    assert marked(str(tmp_path)) == []


def test_children_get_default_signals_even_when_ours_are_ignored(tmp_path: Path, said: list[str]) -> None:
    code = (
        "import signal, time; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, "
        "signal.getsignal(signal.SIGTERM) is signal.SIG_DFL); print('ready'); time.sleep(60)"
    )
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Supervisor([python("child", tmp_path, code)], marker=str(tmp_path), say=said.append):
            pass
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "child.log").read_text().splitlines()[0] == "True True"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The stack of sleepers in a process of its own, up."""
    process = subprocess.Popen(
        [sys.executable, str(SLEEPERS), str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "up\n":
                break
        else:
            pytest.fail("the stack did not come up")
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        until(lambda: marked(str(tmp_path)) == [])


def family(root: int, marker: str) -> list[psutil.Process]:
    """All that belongs to the stack: children of the parent, their children, and whatever carries the marker."""
    found = {process.pid: process for process in psutil.Process(root).children(recursive=True)}
    found |= {pid: psutil.Process(pid) for pid in marked(marker)}
    return list(found.values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_parent_stops_all_of_it(
    stack: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    processes = family(stack.pid, str(tmp_path))
    assert len(processes) == 7  # four services, two grandchildren, the keeper
    stack.send_signal(number)
    assert stack.wait(20) == 0
    assert [process for process in processes if is_alive(process)] == []


def test_a_second_signal_does_not_wait_for_the_deaf(stack: subprocess.Popen[str], tmp_path: Path) -> None:
    processes = family(stack.pid, str(tmp_path))
    stack.send_signal(signal.SIGINT)
    time.sleep(0.1)
    stack.send_signal(signal.SIGINT)
    assert stack.wait(10) == 0
    assert [process for process in processes if is_alive(process)] == []


def test_a_parent_that_is_killed_outright_leaves_nothing(stack: subprocess.Popen[str], tmp_path: Path) -> None:
    processes = family(stack.pid, str(tmp_path))
    assert len(processes) == 7
    stack.kill()
    assert until(lambda: not any(is_alive(process) for process in processes)), [p for p in processes if is_alive(p)]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_even_without_the_keeper_direct_children_die_with_the_parent(
    stack: subprocess.Popen[str], tmp_path: Path
) -> None:
    direct = psutil.Process(stack.pid).children()
    keepers = [process for process in direct if "keeper.py" in " ".join(process.cmdline())]
    obedient = [p for p in direct if p not in keepers and "stubborn" not in p.cmdline()]
    strays = [process for process in family(stack.pid, str(tmp_path)) if process not in obedient]
    try:
        for process in keepers:
            process.kill()
        stack.kill()
        assert until(lambda: not any(is_alive(process) for process in obedient))
    finally:
        for process in strays:
            if is_alive(process):
                process.kill()


def test_the_marker_is_in_the_environment_of_every_process(stack: subprocess.Popen[str], tmp_path: Path) -> None:
    services = [p for p in family(stack.pid, str(tmp_path)) if "keeper.py" not in " ".join(p.cmdline())]
    assert {process.environ()[MARK_VARIABLE] for process in services} == {str(tmp_path)}


def _fields(service: Service) -> dict[str, object]:
    return {name: getattr(service, name) for name in Service.__slots__}

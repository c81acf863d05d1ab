"""A Redis of its own on a free port, with a password, and workers beside it: processes, as on other machines."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

PASSWORD = "of-the-broker"
BOUND_S = 90.0
HAS_REDIS = shutil.which("redis-server") is not None


@contextmanager
def broker() -> Iterator[str]:
    """The URL of a broker that keeps nothing on disk."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [
        "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", "",
        "--appendonly", "no",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        url = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
        try:
            with redis.Redis.from_url(url) as client:
                _wait("the broker", lambda: _answers(client))
            yield url
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def worker(url: str, dagster_home: Path, name: str, log: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that takes one run at a time, once it is ready; ended afterwards unless the test did."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("IBKR_ASSETS_")},
        "DAGSTER_HOME": str(dagster_home),
        "IBKR_ASSETS__CLUSTER__BROKER_URL": url,
        **more,
    }
    command = [sys.executable, "-m", "ibkr_assets.cli", "worker", "run", "--processes", "1", "--name", name]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=environment, stdout=file, stderr=file, start_new_session=True, cwd=dagster_home
        )
    try:
        _wait(f"worker {name}", lambda: b"ready." in log.read_bytes() or process.poll() is not None)
        assert process.poll() is None, log.read_text()[-2000:]
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                kill_machine(process)


def kill_machine(process: subprocess.Popen[bytes]) -> None:
    """End a worker and the processes that it forked at once, as a lost machine does."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def _wait(what: str, condition) -> None:
    deadline = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not ready within {BOUND_S:g} s"
        time.sleep(0.05)

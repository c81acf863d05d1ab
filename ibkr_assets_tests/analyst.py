"""The stand-in for a language model in a process of its own, for tests that speak to it over the wire."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from ibkr_assets_tests.children import started

MODEL = "rule-in-disguise-1"
TOKEN = "token-of-the-tests"


@dataclass
class RunningAnalyst:
    """A stand-in process. `base_url` ends with /v1."""

    base_url: str
    process: subprocess.Popen[str]
    http: httpx.Client = field(repr=False)

    def set_profile(self, profile: str, times: int | None = None, seconds: float = 60.0) -> None:
        """Behave so from the next request on, `times` times or for good."""
        self._admin("POST", "profile", {"profile": profile, "times": times, "seconds": seconds})

    def requests(self) -> list[dict[str, Any]]:
        """All that it received since it was last forgotten: headers, body, profile, what it obeyed, its answer."""
        rows: list[dict[str, Any]] = self._admin("GET", "requests")
        return rows

    def forget(self) -> None:
        self._admin("DELETE", "requests")

    def stop(self) -> int:
        """End the process as a supervisor does; returns its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(10)

    def _admin(self, method: str, call: str, body: dict[str, Any] | None = None) -> Any:
        url = f"{self.base_url.removesuffix('/v1')}/admin/{call}"
        answer = self.http.request(method, url, json=body, headers={"Authorization": f"Bearer {TOKEN}"})
        answer.raise_for_status()
        return answer.json()


@contextlib.contextmanager
def start_analyst(*extra: str, environment: dict[str, str] | None = None) -> Iterator[RunningAnalyst]:
    """Start one, wait until it listens, and end it afterwards. `extra` are more arguments of its command."""
    command = [sys.executable, "-m", "ibkr_assets.simulator.analyst", "--admin-token", TOKEN, *extra]
    with started(command, ready_lines=1, environment=environment) as (process, (ready,)):
        assert ready.startswith("ready http://127.0.0.1:"), ready
        with httpx.Client(timeout=30, trust_env=False) as http:
            yield RunningAnalyst(ready.partition(" ")[2].strip(), process, http)


@pytest.fixture(scope="module")
def stand_in_process() -> Iterator[RunningAnalyst]:
    """One stand-in for all tests of a module."""
    with start_analyst() as running:
        yield running


@pytest.fixture
def stand_in(stand_in_process: RunningAnalyst) -> RunningAnalyst:
    """The module's stand-in, answering by the rule and with nothing received yet."""
    stand_in_process.set_profile("rule")
    stand_in_process.forget()
    return stand_in_process

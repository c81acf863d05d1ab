"""Work on record: opened before it begins, ended as it ended, and never in its way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ibkr_assets import bootstrap
from ibkr_assets.cli.tracked import _is_alive, tracked
from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.settings import Settings


class Server:
    """A tracker that remembers, or is away from some call on."""

    def __init__(self, away_at: str = "") -> None:
        self.away_at, self.log_of, self.ends, self.files = away_at, {}, [], []
        self.tags: dict[str, str] = {}

    def close_lost(self, is_alive: Callable[[str], bool]) -> int:
        self._answer("close_lost")
        return 0

    def open_run(self, name: str, *, dagster_run_id: str, tags: dict[str, str]) -> str:
        self.tags = tags
        return "r1"

    def log(self, run_id: str, **what: Any) -> list[str]:
        self._answer("log")
        self.log_of = what
        return []

    def log_file(self, run_id: str, name: str, content: bytes) -> None:
        self.files.append((name, content))

    def close_run(self, key: str, end: str) -> bool:
        self.ends.append(str(end))
        return True

    def url_of(self, run_id: str) -> None:
        return None

    def _answer(self, call: str) -> None:
        if call == self.away_at:
            raise Unavailable("MLflow is away")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Server]:
    def by(server: Server) -> Server:
        monkeypatch.setattr(bootstrap, "tracker", lambda settings: server)
        return server

    return by


def work(end: Callable[[], object] = lambda: None, path: Path | None = None) -> None:
    with tracked(Settings(), "backtest sma_cross", is_wanted=True) as record:
        record.note({"sharpe": 1.5, "sortino": None}, {"cash": 5, "source_sha256": ""}, [path] if path else [])
        end()


def test_what_ended_well_is_finished_with_its_figures_and_what_it_rests_on(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    server, file = serve(Server()), tmp_path / "trades.csv"
    file.write_bytes(b"x")
    work(path=file)
    assert server.ends == ["FINISHED"]
    assert server.log_of["metrics"] == {"sharpe": 1.5}
    assert server.log_of["params"]["cash"] == "5"
    assert {"code_sha256", "config_sha256", "package_version", "git_commit"} <= set(server.log_of["params"])
    assert server.files == [("trades.csv", b"x")]
    assert server.tags == {"run_kind": "backtest", "process": f"{socket.gethostname()}:{os.getpid()}"}


def test_what_is_known_before_the_work_is_a_tag_from_its_beginning(serve: Callable[..., Server]) -> None:
    server = serve(Server())
    with tracked(Settings(), "backtest llm_analyst", is_wanted=True, tags={"contaminated": "true"}):
        assert server.tags["contaminated"] == "true"


def test_what_failed_or_was_interrupted_is_ended_as_that(serve: Callable[..., Server]) -> None:
    def fail() -> None:
        raise ValueError("no")

    def interrupt() -> None:
        raise KeyboardInterrupt

    def terminate() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    for how, error, end in (
        (fail, ValueError, "FAILED"), (interrupt, KeyboardInterrupt, "KILLED"), (terminate, SystemExit, "KILLED"),
    ):  # fmt: skip
        server = serve(Server())
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(error):
            work(how)
        assert server.ends == [end]
        assert signal.getsignal(signal.SIGTERM) is before


def test_a_server_that_is_away_stops_nothing(serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]) -> None:
    for call in ("close_lost", "log"):
        server = serve(Server(call))
        work()
        assert "not tracked: MLflow is away" in capsys.readouterr().err
        assert server.ends == (["FINISHED"] if call == "log" else [])


def test_what_is_not_wanted_or_has_no_server_is_not_tracked(
    serve: Callable[..., Server], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(Server())
    with tracked(Settings(), "backtest x", is_wanted=False):
        pass
    assert server.ends == []
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(bootstrap, "tracker", lambda settings: None)
    work()
    assert "no MLflow server is named" in capsys.readouterr().err


def test_a_process_is_there_or_not_and_those_of_others_are_taken_to_be() -> None:
    host = socket.gethostname()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert _is_alive(f"{host}:{os.getpid()}")
    assert not _is_alive(f"{host}:{ended.pid}")
    assert _is_alive(f"elsewhere:{ended.pid}")
    assert _is_alive("nonsense")

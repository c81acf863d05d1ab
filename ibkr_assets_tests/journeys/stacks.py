"""A whole stack as a process of its own: `ibkr-assets up`, and what it says meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def clean_environment(data_dir: Path) -> dict[str, str]:
    """This process's environment without any setting of ours, and with the data directory."""
    ours = ("IBKR_ASSETS", "MLFLOW", "DAGSTER")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**environment, "IBKR_ASSETS_DATA_DIR": str(data_dir)}


class Stack:
    """A stack that runs until it is stopped. Its words are read as they come, so that it never waits for a reader."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def link(self, begins: str = "dashboard ") -> str:
        """The address that lets in once, of the first line that begins so; waits for it.

        `watch it` comes before the replay, `dashboard ` after it.
        """
        with self._news:
            self._news.wait_for(lambda: self._link(begins) or self._process.poll() is not None, timeout=400)
            link = self._link(begins)
        assert link is not None, f"no line {begins!r}:\n" + "".join(self._lines)
        return link

    def stop(self) -> None:
        """As a person does, with Ctrl-C. What it said goes to stderr, where it stands beside a test that failed."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)
        self._reader.join(10)
        assert self._process.stderr is not None
        self._process.stderr.close()
        sys.stderr.write("".join(self._lines))

    def _link(self, begins: str) -> str | None:
        lines = [line.split() for line in self._lines if line.startswith(begins) and "/login/" in line]
        return next((word for words in lines for word in words if "/login/" in word), None)

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()


@contextmanager
def running_stack(data_dir: Path, *arguments: str) -> Iterator[Stack]:
    """`ibkr-assets up` with these arguments, stopped at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ibkr_assets.cli", "up", *arguments],
        env=clean_environment(data_dir), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    started = Stack(process)
    try:
        yield started
    finally:
        started.stop()

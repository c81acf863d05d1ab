"""Processes that tests start: what they inherit, when they are ready, and that they are gone afterwards."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

_START_BOUND_S = 60.0
_STOP_BOUND_S = 10.0


def inherited_environment() -> dict[str, str]:
    """This process's environment without the platform's own variables, which would change what a test shows."""
    return {name: value for name, value in os.environ.items() if not name.startswith("IBKR_ASSETS_")}


@contextmanager
def started(
    command: Sequence[str],
    *,
    ready_lines: int,
    environment: Mapping[str, str] | None = None,
    errors: IO[str] | None = None,
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The process once it has said so many lines, and those lines; it is ended when the block is.

    `errors` is where its standard error goes, by default that of the tests.
    """
    env = inherited_environment() | dict(environment or {})
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=env) as process:
        try:
            yield process, _read_ready_lines(process, ready_lines)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(_STOP_BOUND_S)
                except subprocess.TimeoutExpired:
                    process.kill()


def _read_ready_lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """Read from the pipe itself: a buffered line would not wake `select`."""
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    deadline = time.monotonic() + _START_BOUND_S
    text = b""
    while text.count(b"\n") < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{process.args!r} was not ready after {_START_BOUND_S} s; it said {text!r}")
        if select.select([pipe], [], [], 0.2)[0]:
            data = os.read(pipe, 4096)
            if not data:
                raise RuntimeError(f"{process.args!r} ended with {process.wait(10)} before it was ready")
            text += data
    return text.decode().splitlines()

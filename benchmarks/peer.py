"""Another library in a process and an environment of its own, so that it may want another pandas than ours.

What goes here: starting it, asking it, and when there is none. What does not: what it runs (`benchmarks/peers`).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import Took

_SCRIPTS = Path(__file__).parent / "peers"
#: Where `make bench` installs the peers.
PYTHON = Path(os.environ.get("PEERS_PYTHON", Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"))


class Peer:
    """A process that runs functions of one file of `benchmarks/peers`, one at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, function: str, *arguments: Any) -> tuple[Took, Any]:
        """What the function took, in CPU seconds of that process, and what it returned."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([function, arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer's process has ended while it ran {function}")
        seconds, result = json.loads(line)
        return Took(seconds), result


@contextmanager
def start_peer(module: str) -> Iterator[Peer | None]:
    """The process, ended afterwards; None where the peers are not installed."""
    if not PYTHON.exists():
        yield None
        return
    command: Sequence[str] = [str(PYTHON), str(_SCRIPTS / "worker.py"), module]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield Peer(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=60)

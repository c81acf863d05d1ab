"""Pages that promise what their commands say: every shell block is run, and every line promised must be said."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import typer

from ibkr_assets.cli.main import app
from ibkr_assets_tests.children import inherited_environment

_BOUND_S = 60


def free_ports(count: int) -> list[str]:
    """Ports that nobody listens on, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [str(one.getsockname()[1]) for one in sockets]


def commands(page: str) -> list[tuple[str, list[str]]]:
    """Every shell block with the lines that the text block after it promises."""
    found = re.findall(r"```sh\n(.*?)```(?:\n\n```text\n(.*?)```)?", page, re.DOTALL)
    return [(block, promised.splitlines()) for block, promised in found]


def refuse_unknown_commands(lines: Iterable[str]) -> None:
    """Fail for a line whose command or option `ibkr-assets` does not have; each is what is typed after that name."""
    root = typer.main.get_command(app)
    for line in lines:
        command, words = root, line.split()
        while hasattr(command, "commands") and words:
            name = words.pop(0)
            assert name in command.commands, line
            command = command.commands[name]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for option in re.findall(r"(?<!\S)--[a-z-]+", " ".join(words)):
            assert option in known, line


def broken_promises(page: str, directory: Path, ports: Mapping[str, str]) -> list[tuple[str, str]]:
    """Run all shell blocks of a page in one shell, and give each line that was promised and not said, with its block.

    `ports` are those written on the page, with the ones to use. Fails where a command does.
    """
    blocks = commands(page)
    script = "\n".join(f"{block}\necho\necho '@@ {n}'" for n, (block, _) in enumerate(blocks))
    for written, free in ports.items():
        script = script.replace(written, free)
    environment = inherited_environment()
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with subprocess.Popen(
        ["bash", "-eu", "-o", "pipefail", "-c", script], cwd=directory, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as shell:  # fmt: skip
        try:
            said, _ = shell.communicate(timeout=_BOUND_S)
        finally:
            # What the page starts is in the shell's group, whether it came to its end or not.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)
    assert shell.returncode == 0, said
    parts = re.split(r"\n@@ \d+\n", said)
    assert len(parts) == len(blocks) + 1, said
    return [
        (block, line) for (block, lines), part in zip(blocks, parts, strict=False) for line in lines if line not in part
    ]

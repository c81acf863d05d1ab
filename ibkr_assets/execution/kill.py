"""The kill file: permission to trade withdrawn without database or network.

What goes here: writing, reading and removing the file. What does not: the control rows of the database, which are
checked where an order begins to leave. The submitter reads this file before each write to a socket.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

KILL_FILE = "kill"


def kill_file(data_dir: Path) -> Path:
    """Where the kill file of a data directory is."""
    return data_dir / KILL_FILE


def write_kill_file(data_dir: Path, *, actor: str, reason: str) -> Path:
    """Withdraw permission to trade, at once and until the file is removed. Returns the file's path."""
    path = kill_file(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    body = json.dumps({"actor": actor, "reason": reason, "at": at})
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(body + "\n", encoding="utf-8")
    draft.replace(path)
    return path


def remove_kill_file(data_dir: Path) -> bool:
    """Take the file away. Returns False when there was none."""
    try:
        kill_file(data_dir).unlink()
    except FileNotFoundError:
        return False
    return True


def killed_by_file(path: Path) -> str | None:
    """Why the kill file withdraws permission, or None when there is none. One that cannot be read kills too."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"kill file {path} cannot be read: {error.strerror}"
    try:
        said = json.loads(text)
        return f"kill file by {said['actor']}: {said['reason']}"
    except (ValueError, KeyError, TypeError):
        return f"kill file {path}"

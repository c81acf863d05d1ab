"""The kill file: permission to trade withdrawn without database or network.

What goes here: writing, reading and removing the file. What does not: the control rows of the database, which are
checked where an order begins to leave. The submitter reads this file before each write to a socket. It stops every
order, also one that would close a position: whoever needs that lifts the file and kills in the database.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

KILL_FILE = "kill"
#: What a kill file may say, from weak to strong. Positions are closed by rows of the database alone.
LEVELS = ("kill", "kill_cancel")


@dataclass(frozen=True, slots=True)
class KillFile:
    """What a kill file says. `level` is the strongest that was asked for, `session` the login it was written from."""

    actor: str
    reason: str
    level: str
    session: str


def kill_file(data_dir: Path) -> Path:
    """Where the kill file of a data directory is."""
    return data_dir / KILL_FILE


def write_kill_file(data_dir: Path, *, actor: str, reason: str, level: str = "kill", session: str = "") -> Path:
    """Withdraw permission to trade, at once and until the file is removed. Returns the file's path.

    A file that is there already keeps the stronger of both levels.
    """
    path = kill_file(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    before = read_kill_file(path)
    strongest = max(level, before.level if before is not None else level, key=LEVELS.index)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    body = json.dumps({"actor": actor, "reason": reason, "level": strongest, "session": session, "at": at})
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


def read_kill_file(path: Path) -> KillFile | None:
    """What the file says, or None when there is none. One that cannot be understood kills all the same."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        return KillFile("", f"{path} cannot be read: {error.strerror}", LEVELS[0], "")
    try:
        said = json.loads(text)
        actor, reason = str(said["actor"]), str(said["reason"])
    except (ValueError, KeyError, TypeError):
        return KillFile("", str(path), LEVELS[0], "")
    level = said.get("level")
    return KillFile(actor, reason, level if level in LEVELS else LEVELS[0], str(said.get("session", "")))


def killed_by_file(path: Path) -> str | None:
    """Why the kill file withdraws permission, or None when there is none."""
    said = read_kill_file(path)
    if said is None:
        return None
    return f"kill file by {said.actor}: {said.reason}" if said.actor else f"kill file {said.reason}"


def asks_to_cancel(path: Path) -> bool:
    """Whether the kill file also asks for every working order to be cancelled."""
    said = read_kill_file(path)
    return said is not None and said.level == "kill_cancel"

"""Who acts at the command line, and from which login: permission is taken and given by a person, somewhere.

What goes here: naming both. What does not: what each may do (the guards of the database, `execution.permission`).
"""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Login:
    """A person by the name of the system account, and the login session: one terminal is one."""

    name: str
    session: str


def current_login() -> Login:
    """The login of this process. A session is told from another by its leader and when that was started."""
    leader = os.getsid(0)
    return Login(getpass.getuser(), f"{getpass.getuser()}@{socket.gethostname()}/{leader}.{_started(leader)}")


def _started(pid: int) -> str:
    """When a process started, as the kernel counts; empty where that is not to be had."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""

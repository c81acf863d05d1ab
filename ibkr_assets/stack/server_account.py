"""Which system account the embedded Postgres runs as, and how a command is run as that account.

Postgres refuses to run as root, so root hands it to an unprivileged account. What goes here: picking the account and
looking whether it can reach the files. What does not: the server itself (`stack.postgres`).
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ibkr_assets.domain.errors import ConfigurationError

#: Present on every Unix system, owns nothing.
UNPRIVILEGED = "nobody"

#: Either capability lets a process pass directories that its account may not search; containers often keep the second.
_SEARCH_CAPABILITIES = ("dac_read_search", "dac_override")


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """Who runs the server. `user` is None for our own account, or when `prefix` already changes the account."""

    name: str | None
    uid: int
    gid: int
    prefix: tuple[str, ...] = ()

    @property
    def user(self) -> str | None:
        """The account a starter must change to before it executes the command."""
        return None if self.prefix else self.name

    def run(self, command: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end as this account and return what it printed."""
        return subprocess.run(
            [*self.prefix, *command],
            env=environment,
            user=self.user,
            group=None if self.user is None else self.gid,
            extra_groups=None if self.user is None else [],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


def server_account(data_dir: Path, binaries: Path) -> ServerAccount:
    """The account for a server on this data directory.

    Not root: our own. Root: `nobody`, if it can reach both directories; if it cannot, `nobody` with the one
    capability to search directories, where the machine allows that. No permission outside the data directory is
    changed. Raises ConfigurationError naming the directory in the way.
    """
    if os.geteuid() != 0:
        return ServerAccount(None, os.geteuid(), os.getegid())
    entry = pwd.getpwnam(UNPRIVILEGED)
    account = ServerAccount(UNPRIVILEGED, entry.pw_uid, entry.pw_gid)
    closed = _first_closed(data_dir, account) or _first_closed(binaries, account)
    if closed is None:
        return account
    prefix = _with_search_capability(account)
    if prefix is None:
        raise ConfigurationError(
            f"data_dir: Postgres must not run as root, and the account {UNPRIVILEGED} cannot pass the directory "
            f"{closed}; choose another --data-dir, for instance below /var/lib, or do not run as root"
        )
    return ServerAccount(UNPRIVILEGED, entry.pw_uid, entry.pw_gid, prefix)


def _first_closed(path: Path, account: ServerAccount) -> Path | None:
    """The first directory on the way to `path`, itself included, that the account may not search."""
    path = path.resolve()
    for directory in (*reversed(path.parents), path):
        found = directory.stat()
        if found.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif found.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not found.st_mode & needed:
            return directory
    return None


def _with_search_capability(account: ServerAccount) -> tuple[str, ...] | None:
    program = shutil.which("setpriv")
    if program is None:
        return None
    for capability in _SEARCH_CAPABILITIES:
        only = f"-all,+{capability}"
        # The server asks access(2) about its own programs, and that drops capabilities of any user but root unless
        # the setuid fix-ups are off.
        prefix = (
            program, "--securebits=+no_setuid_fixup",
            f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups",
            f"--inh-caps={only}", f"--ambient-caps={only}", f"--bounding-set={only}", "--no-new-privs", "--",
        )  # fmt: skip
        if subprocess.run([*prefix, "true"], capture_output=True, check=False, timeout=10).returncode == 0:
            return prefix
    return None

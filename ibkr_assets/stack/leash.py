"""Run as a script in every child before its own program: ties the child's life to its parent's, then execs.

It sets what only the child itself can set (death signal, default signals, user) without running Python between fork
and exec of a threaded parent. Standard library only: it starts with `-I -S`. Who starts it is `stack.supervisor`.

    python -I -S leash.py PARENT_PID DEATH_SIGNAL USER PROGRAM ARGUMENT...      (USER may be empty)
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def _become(user: str) -> None:
    import pwd

    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def _default_signals() -> None:
    """Ignored signals survive exec, and a Dagster whose SIGINT is ignored ignores SIGTERM as well."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def main(arguments: list[str]) -> None:
    """Prepare this process and become the program. Exits 125 when the parent is gone already, 127 on no program."""
    parent, death_signal, user, *command = arguments
    if user:
        _become(user)  # before the death signal: a change of user clears it
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(125)  # the parent died before the death signal was set, so none will come
    _default_signals()
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")  # exit code 1, and the reason in the log


if __name__ == "__main__":
    main(sys.argv[1:])

"""What the commands of the stand-ins share: a parser that complains in one line, and how a process of them ends.

What goes here: the form of arguments and exit codes. What does not: any option (`command`, `analyst.command`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from ibkr_assets.domain.errors import PlatformError

#: Where the token of the admin calls is read from when no argument gives it.
TOKEN_VARIABLE = "IBKR_ASSETS_ADMIN_TOKEN"  # noqa: S105 - the name of a variable, not what is in it
_BAD_USE = 2


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and ends the process with 2. Help has room for long options."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, formatter_class=_Help)

    def error(self, message: str) -> NoReturn:
        """Argparse's own also prints the whole usage."""
        sys.stderr.write(f"{self.prog}: {message}\n")
        sys.exit(_BAD_USE)


class _Help(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=36, width=110)


def serve_by_arguments(run: Callable[..., None], *, program: str) -> int:
    """Run a command with the arguments of the process, and give its exit code; a known error is one line."""
    try:
        run(sys.argv[1:], program=program)
    except PlatformError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0

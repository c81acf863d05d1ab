"""Starts a gateway from plain arguments: `python -m ibkr_assets.simulator --admin-token T`.

The command for people is `ibkr-assets gateway`; both are `command`.
"""

from __future__ import annotations

import sys

from ibkr_assets.domain.errors import PlatformError
from ibkr_assets.simulator.command import run


def main() -> int:
    """Serve, and give the exit code."""
    try:
        run(sys.argv[1:], program="python -m ibkr_assets.simulator")
    except PlatformError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Starts the stand-in from plain arguments: `python -m ibkr_assets.simulator.analyst --port 0`."""

from __future__ import annotations

import sys

from ibkr_assets.domain.errors import PlatformError
from ibkr_assets.simulator.analyst.command import run


def main() -> int:
    """Serve, and give the exit code."""
    try:
        run(sys.argv[1:], program="python -m ibkr_assets.simulator.analyst")
    except PlatformError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

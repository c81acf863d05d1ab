"""Starts the stand-in from plain arguments: `python -m ibkr_assets.simulator.analyst --port 0`."""

from __future__ import annotations

import sys

from ibkr_assets.simulator.analyst.command import run
from ibkr_assets.simulator.arguments import serve_by_arguments

if __name__ == "__main__":
    sys.exit(serve_by_arguments(run, program="python -m ibkr_assets.simulator.analyst"))

"""Starts a gateway from plain arguments: `python -m ibkr_assets.simulator --admin-token T`.

The command for people is `ibkr-assets gateway`; both are `command`.
"""

from __future__ import annotations

import sys

from ibkr_assets.simulator.arguments import serve_by_arguments
from ibkr_assets.simulator.command import run

if __name__ == "__main__":
    sys.exit(serve_by_arguments(run, program="python -m ibkr_assets.simulator"))

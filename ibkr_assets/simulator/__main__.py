"""Starts a gateway from plain arguments: `python -m ibkr_assets.simulator --admin-token T`.

The command for people is `ibkr-assets gateway`; both call `server.serve`.
"""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from ibkr_assets.domain.errors import PlatformError
from ibkr_assets.simulator.foreign_cash import ForeignCash
from ibkr_assets.simulator.options import GatewayOptions
from ibkr_assets.simulator.server import serve


def main() -> int:
    """Parse, serve, and give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ibkr_assets.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--admin-port", type=int, default=0)
    parser.add_argument("--admin-token", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tape", default="real")
    parser.add_argument("--account", default="DU1000001")
    parser.add_argument("--opening-cash", type=Decimal, default=Decimal(100_000))
    parser.add_argument("--foreign-cash", type=ForeignCash.parse, nargs="*", default=(), metavar="EUR:1000:1.0925")
    parser.add_argument("--stale-positions-s", type=float, default=0.0)
    parser.add_argument("--clock-start", type=datetime.fromisoformat)
    parser.add_argument("--clock-speed", type=float, default=0.0)
    parser.add_argument("--pace", type=float, default=1.0)
    parser.add_argument("--idle-limit-s", type=float, default=360.0)
    parser.add_argument("--history-latency-s", type=float, default=0.0)
    parser.add_argument("--duplicate-status", type=int, default=400)
    parser.add_argument("--state-dir", type=Path)
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--fast-penalty", action="store_true")
    try:
        serve(GatewayOptions(**vars(parser.parse_args())))
    except PlatformError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

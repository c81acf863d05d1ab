"""`python -m benchmarks [NAME ...] [--scale small|full]`: run all or the named ones and print the ratios.

The scale is that of `bars`, `validation`, `backfill` and `session`, which take minutes at `full`.
"""

from __future__ import annotations

import argparse
import importlib
import sys

NAMES = (
    "bars", "validation", "features", "incremental", "backfill", "backtest", "session", "broker", "settling", "orders",
    "approvals", "dashboard",
)  # fmt: skip
SCALED = ("bars", "validation", "backfill", "session")


def main() -> None:
    """Print a block of lines for each benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--scale", choices=("small", "full"), default="small", help="of what has one")
    given = parser.parse_args()
    for name in given.names or NAMES:
        if name not in NAMES:
            sys.exit(f"no benchmark {name!r}; there are: {', '.join(NAMES)}")
        arguments = {"scale": given.scale} if name in SCALED else {}
        for comparison in importlib.import_module(f"benchmarks.{name}").run(**arguments):
            sys.stdout.write("\n".join(comparison.lines()) + "\n")
            sys.stdout.flush()


main()

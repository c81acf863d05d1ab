"""`python -m benchmarks [NAME ...]`: run all or the named ones and print the ratios."""

from __future__ import annotations

import importlib
import sys

NAMES = ("bars", "validation", "features", "backtest", "session", "broker", "settling", "orders", "approvals")


def main() -> None:
    """Print a block of lines for each benchmark."""
    wanted = sys.argv[1:] or list(NAMES)
    for name in wanted:
        if name not in NAMES:
            sys.exit(f"no benchmark {name!r}; there are: {', '.join(NAMES)}")
        for comparison in importlib.import_module(f"benchmarks.{name}").run():
            sys.stdout.write("\n".join(comparison.lines()) + "\n")
            sys.stdout.flush()


main()

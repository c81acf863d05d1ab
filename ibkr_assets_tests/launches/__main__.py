"""`python -m ibkr_assets_tests.launches`: Dagster does one thing twice, in seven ways; what the gateway took of it."""

from __future__ import annotations

import argparse
import sys
import time

from ibkr_assets_tests.launches.stage import open_stage
from ibkr_assets_tests.launches.ways import WAYS, Row, go_through


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when every decision became one order, whichever way it was asked for twice."""
    parser = argparse.ArgumentParser(prog="python -m ibkr_assets_tests.launches", description=__doc__)
    parser.add_argument("--ways", default=",".join(WAYS), help="only these; default all: %(default)s")
    ways = tuple(parser.parse_args(arguments).ways.split(","))
    if unknown := set(ways) - set(WAYS):
        parser.error(f"argument --ways: not known: {', '.join(sorted(unknown))}")
    began = time.monotonic()
    with open_stage(ways) as stage:
        rows = go_through(stage, _say, ways=ways)
    print_rows(rows)
    _say(f"{time.monotonic() - began:.0f} s")
    return 0 if all(row.is_good for row in rows) else 1


def print_rows(rows: list[Row]) -> None:
    """One line a way, and their sum."""
    columns = ("steps", "found", "decisions", "approved", "accepted", "twice")
    width = max(map(len, WAYS.values()))
    _say("")
    _say(f"{'way':<{width}} " + " ".join(f"{name:>9}" for name in columns))
    for row in rows:
        said = "" if row.is_good else "  WRONG"
        _say(f"{WAYS[row.name]:<{width}} " + " ".join(f"{getattr(row, name):>9}" for name in columns) + said)
    _say(f"{'sum':<{width}} " + " ".join(f"{sum(getattr(row, name) for row in rows):>9}" for name in columns))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

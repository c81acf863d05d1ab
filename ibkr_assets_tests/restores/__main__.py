"""`python -m ibkr_assets_tests.restores`: the recovery drill, with its figures."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from ibkr_assets_tests.restores.drill import drill


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when everything was taken over and nothing was sent."""
    parser = argparse.ArgumentParser(prog="python -m ibkr_assets_tests.restores", description=__doc__)
    parser.add_argument("--orders", type=int, default=50, help="sent after the backup; default 50")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ibkr-assets-drill-") as directory:
        outcome = drill(Path(directory), orders=given.orders, tell=_say)
    for name, value in asdict(outcome).items():
        _say(f"{name:<16} {value:.1f}" if isinstance(value, float) else f"{name:<16} {value}")
    return 0 if outcome.is_good else 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""`python -m ibkr_assets_tests.soak`: sessions of minutes through the real stack, with faults and nights, measured."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from ibkr_assets_tests.soak.report import make_report, tell
from ibkr_assets_tests.soak.run import Options, soak


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when nothing went wrong that was not foreseen; the directory is kept otherwise, or with --keep."""
    parser = argparse.ArgumentParser(prog="python -m ibkr_assets_tests.soak", description=__doc__)
    parser.add_argument("--sessions", type=int, default=Options.sessions)
    parser.add_argument("--symbols", type=int, default=Options.symbols)
    parser.add_argument("--every-min", type=int, default=Options.every_min, help="market minutes between collections")
    parser.add_argument("--seed", type=int, default=Options.seed)
    parser.add_argument("--without-faults", action="store_true")
    parser.add_argument("--dir", type=Path, help="where everything of it lies; default a temporary directory")
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args(arguments)
    options = Options(given.sessions, given.symbols, given.every_min, given.seed, with_faults=not given.without_faults)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))  # what was started is ended
    directory = given.dir or Path(tempfile.mkdtemp(prefix="soak-"))
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)  # Postgres runs as another account
    report = soak(directory, options, _say, make_report)
    for line in tell(report):
        _say(line)
    if given.keep or not report.is_good:
        (directory / "events.json").write_text(json.dumps(report.events, indent=0))
        _say(f"everything of it is in {directory}")
    else:
        shutil.rmtree(directory)
    return 0 if report.is_good else 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

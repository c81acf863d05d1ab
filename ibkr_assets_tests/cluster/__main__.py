"""`python -m ibkr_assets_tests.cluster [SYMBOLS] [PARTS]`: a backfill and a sweep spread over workers, as a table."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from ibkr_assets_tests.cluster import distribution
from ibkr_assets_tests.compose.engine import can_isolate, run_isolated

_BOUND_S = 3600.0
_COLUMNS = "{work:<9} {workers:<12} {rows:>9} {runs:>5} {seconds:>8}  {digest:.12}"


def main() -> None:
    """Print a line for each piece of work."""
    if not can_isolate():
        sys.exit("namespaces of its own are needed: run as root on Linux, where the machine allows them")
    symbols, parts = [*sys.argv[1:], *("500", "8")[len(sys.argv) - 1 :]]
    work = Path(tempfile.mkdtemp(prefix="ibkr-assets-cluster-"))
    log = work / "engine.log"
    code = run_isolated(distribution.__name__, str(work), symbols, parts, log=log, timeout_s=_BOUND_S)
    if code != 0:
        sys.exit(f"ended with {code}; see {log}")
    names = ("work", "workers", "rows", "runs", "seconds", "digest")
    lines = [dict(zip(names, names, strict=True)), *json.loads((work / "told.json").read_text())]
    sys.stdout.write("".join(_COLUMNS.format(**line) + "\n" for line in lines))


main()

"""One process that executes one run, as the launcher's own children do: RUN_ID."""

from __future__ import annotations

import sys

import dagster as dg

from ibkr_assets.stack.launcher import execute_run

if __name__ == "__main__":
    with dg.DagsterInstance.get() as instance:
        reference = instance.get_ref()
    execute_run(sys.argv[1], reference)

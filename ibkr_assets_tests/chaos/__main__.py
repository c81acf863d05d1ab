"""`python -m ibkr_assets_tests.chaos`: what a seed does to the platform, and whether both ledgers agree afterwards."""

from __future__ import annotations

import argparse
import signal
import sys

from ibkr_assets_tests.chaos.report import print_outcome
from ibkr_assets_tests.chaos.run import Options, Run


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when nothing is wrong."""
    parser = argparse.ArgumentParser(prog="python -m ibkr_assets_tests.chaos", description=__doc__)
    parser.add_argument("--orders", type=int, default=200, help="distinct decisions; default 200")
    parser.add_argument("--seed", type=int, default=7, help="every choice comes from it; default 7")
    parser.add_argument(
        "--profile", choices=("everything", "forgetful"), default="everything",
        help="forgetful: a gateway that forgets the ids it has seen, with orders that arrive late",
    )  # fmt: skip
    parser.add_argument("--faults", default="", help="only these, as F1,F3; default all of the profile")
    parser.add_argument("--pace", type=float, default=1000.0, help="divides IBKR's pacing windows; default 1000")
    parser.add_argument("--every", type=float, default=Options.every_s, help="mean seconds between two happenings")
    parser.add_argument(
        "--thefts", type=int, default=0, help="instead of all else: steal the lease of four submitters so often"
    )
    given = parser.parse_args(arguments)
    if given.orders < 1:
        parser.error(f"argument --orders: must be 1 or more, got {given.orders}")
    per_evening = max(6, min(80, given.orders // (10 if given.thefts else 5)))
    happenings = max(4, min(Options.happenings, per_evening * 3 // 5))
    if given.thefts:  # as many on every evening, so that there is always something to send meanwhile
        happenings = -(-2 * given.thefts * per_evening // given.orders)
    options = Options(
        orders=given.orders,
        seed=given.seed,
        profile=given.profile,
        faults=tuple(name for name in given.faults.split(",") if name),
        pace=given.pace,
        every_s=given.every,
        submitters=4 if given.thefts else 2,
        thefts=given.thefts,
        happenings=happenings,
        per_evening=per_evening,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))  # what was started is ended
    outcome = Run(options, _say).run()
    print_outcome(outcome, _say)
    return 0 if outcome.is_good else 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

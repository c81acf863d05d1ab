"""64 decisions at once against one limit, 20 rounds a limit: how many pass, and how many fit.

Each round has a ledger of its own and orders of another size, 64 connections that wait at one barrier, and the real
rules. Whatever passes beyond what fits, or is missing, is counted as wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from benchmarks.broker import Figures
from benchmarks.server import new_database, start_server
from ibkr_assets_tests.execution.contest import AT_ONCE, CONTESTS, Contest, Outcome, run_contest

ROUNDS = 20
_HEAD = f"{'limit':<18}{'round':>6}{'shares':>8}{'fit':>5}{'approved':>10}{'denied':>8}{'at once':>9}  denied by"


def run() -> Iterator[Figures]:
    """One table."""
    with start_server() as server:
        found = []
        for kind, contest_of in CONTESTS.items():
            for number in range(ROUNDS):
                contest = contest_of(5 + number)
                url = new_database(server, f"{kind}_{number}")
                found.append((number + 1, contest, run_contest(url, contest)))
                with server.connect() as connection:
                    connection.execute(f"drop database {kind}_{number} with (force)")
    wrong = sum(outcome.approved != contest.fits for _, contest, outcome in found)
    most = median(outcome.at_once for _, _, outcome in found)
    yield Figures(
        f"{AT_ONCE} decisions at once, {ROUNDS} rounds a limit: {wrong} of {len(found)} rounds wrong, "
        f"{most:g} inside the proposing at one moment (median)",
        (_HEAD, *(_line(*row) for row in found)),
    )


def _line(number: int, contest: Contest, outcome: Outcome) -> str:
    denied = sum(outcome.denied_by.values())
    codes = ", ".join(sorted(outcome.denied_by))
    return (
        f"{contest.name:<18}{number:>6}{contest.shares:>8}{contest.fits:>5}{outcome.approved:>10}{denied:>8}"
        f"{outcome.at_once:>9}  {codes}"
    )

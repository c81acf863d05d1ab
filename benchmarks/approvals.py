"""64 decisions at once against one limit, 20 rounds a limit: how many pass, and how many fit.

Each round has a ledger of its own and orders of another size, 64 connections that wait at one barrier, and the real
rules. Whatever passes beyond what fits, or is missing, is counted as wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from statistics import median

from benchmarks.broker import Figures
from benchmarks.server import new_database, start_server
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.stack.postgres import EmbeddedPostgres
from ibkr_assets_tests.execution.contest import (
    AT_ONCE,
    CONTESTS,
    Contest,
    Outcome,
    look_again,
    prepare,
    run_contest,
)

ROUNDS = 20
_TEMPLATE, _LEDGER = "contest_template", "contest"
_HEAD = f"{'round':>5}{'shares':>8}{'fit':>5}{'approved':>10}{'at once':>9}  denied"


def run() -> Iterator[Figures]:
    """One table a limit."""
    with start_server() as server:
        with closing(Database(new_database(server, _TEMPLATE))) as database:
            prepare(database)
        for kind, contest_of in CONTESTS.items():
            rounds = [_round(server, contest_of(5 + number)) for number in range(ROUNDS)]
            wrong = sum(outcome.approved != contest.fits for contest, outcome in rounds)
            most = median(outcome.at_once for _, outcome in rounds)
            yield Figures(
                f"{kind}: {AT_ONCE} decisions at once, {ROUNDS} rounds, {wrong} of them wrong; "
                f"{most:g} were inside the proposing at one moment (median)",
                (_HEAD, *(_line(number, *found) for number, found in enumerate(rounds, start=1))),
            )


def _round(server: EmbeddedPostgres, contest: Contest) -> tuple[Contest, Outcome]:
    """One contest on a ledger of its own."""
    with server.connect() as connection:
        connection.execute(f"create database {_LEDGER} template {_TEMPLATE} owner ibkr_platform")
    try:
        url = server.url(_LEDGER, "ibkr_platform")
        return contest, run_contest(url, contest, preparing=look_again)
    finally:
        with server.connect() as connection:
            connection.execute(f"drop database {_LEDGER} with (force)")


def _line(number: int, contest: Contest, outcome: Outcome) -> str:
    denied = ", ".join(f"{count} by {code}" for code, count in sorted(outcome.denied_by.items()))
    return f"{number:>5}{contest.shares:>8}{contest.fits:>5}{outcome.approved:>10}{outcome.at_once:>9}  {denied}"

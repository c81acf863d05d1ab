"""A ledger that came back from a backup, and which decision an order of ours at the broker was.

What goes here: finding a decision by the client order id that was derived from it. What does not: reading the broker
and taking the order over (`execution.recovery`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from itertools import product

from ibkr_assets.domain.order import Mode, client_order_id_of, decision_key_of

#: What a chain decides has this purpose, at most two legs (closing, opening) and seldom another generation than none.
PURPOSE = "rebalance"
_LEGS = range(2)
_GENERATIONS = range(5)


@dataclass(frozen=True, slots=True)
class Restoration:
    """A restored ledger that was not resumed since; instants are aware UTC, by the database's clock."""

    restoration_id: int
    backup_taken_at: datetime
    restored_at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """Which strategy decided at the end of which bar. `signal_bar_end` is aware UTC."""

    strategy_id: str
    session_date: date
    signal_bar_end: datetime
    leg: int
    generation: int


def find_decision(
    client_order_id: str,
    salt: str,
    *,
    mode: Mode,
    account_ref: str,
    conid: int,
    strategies: Iterable[str],
    bar_ends: Iterable[tuple[date, datetime]],
) -> Decision | None:
    """The decision that the id was derived from, or None when none of these strategies and bars gives it.

    `bar_ends` are sessions with their closes in UTC. An id is a hash: it cannot be read, only met again.
    """
    for strategy, (day, bar_end), leg, generation in product(strategies, bar_ends, _LEGS, _GENERATIONS):
        key = decision_key_of(mode, strategy, account_ref, conid, bar_end, PURPOSE, leg, generation)
        if client_order_id_of(key, salt) == client_order_id:
            return Decision(strategy, day, bar_end, leg, generation)
    return None

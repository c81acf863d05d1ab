"""From the stored signals of some sessions to stored intents, for every strategy that is wanted.

What goes here: which signals are proposed, and which are held back because their bar is not proven or they cannot be
sized. What does not: the proposing itself (`execution.propose`). Doing it again, or twice at once, stores nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibkr_assets.domain.order import Mode
from ibkr_assets.execution.measures import split_by_measures
from ibkr_assets.execution.proof import split_by_proof
from ibkr_assets.execution.propose import propose_orders
from ibkr_assets.risk.overrides import tightened

if TYPE_CHECKING:
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.domain.signal import Signal
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.portfolio.sizing import Measures
    from ibkr_assets.ports import BarStore, Clock, IntentBook, IntentRecord, StrategyRecord, StrategyStore
    from ibkr_assets.risk.engine import Limits

#: Why a signal whose order could still be sent is held back.
BACKFILL = "a backfill never trades; materialize this session alone to order"


@dataclass(frozen=True, slots=True)
class Proposals:
    """Every intent of the sessions, new or there before, and the signals held back, each with the reason."""

    records: list[IntentRecord]
    held_back: list[tuple[Signal, str]]


def propose_sessions(
    sessions: Sequence[TradingSession],
    *,
    strategies: Sequence[StrategyRecord],
    symbols: Sequence[str],
    bar_store: BarStore,
    strategy_store: StrategyStore,
    book: IntentBook,
    calendar: ExchangeCalendar,
    clock: Clock,
    limits: Limits,
    account_ref: str,
    mode: Mode,
    platform_mode: Mode,
    dagster_run_id: str | None,
    created_by: str,
    is_backfill: bool = False,
) -> Proposals:
    """Propose the stored signals of `sessions` for `symbols`, one strategy after the other.

    A backfill fills in what was, and never trades: what could still be sent is held back, and left to a run of that
    session alone. A strategy's own limits tighten `limits`; one that is set to
    dry_run rehearses whatever `mode` says. Raises what `propose_orders` and `risk.overrides` raise;
    what was proposed before that stays proposed.
    """
    proposals = Proposals([], [])
    for strategy in strategies:
        own_mode = Mode.DRY_RUN if strategy.is_dry_run else mode
        measured: dict[Signal, Measures] = {}
        for session in sessions:
            found = [s for s in strategy_store.signals(session.day, strategy.id) if s.symbol in symbols]
            if is_backfill and own_mode is not Mode.DRY_RUN and _is_tradable(session, calendar, clock):
                proposals.held_back.extend((signal, BACKFILL) for signal in found)
                continue
            proven, unproven = split_by_proof(found, bar_store, session, calendar.next_session(session.day).day)
            of_session, unmeasured = split_by_measures(proven, strategy.sizing, bar_store, session)
            measured |= of_session
            proposals.held_back.extend([*unproven, *unmeasured])
        if measured:
            proposals.records.extend(
                propose_orders(
                    list(measured),
                    measures=measured,
                    strategy=strategy,
                    book=book,
                    instruments=bar_store.instruments(sorted({s.symbol for s in measured})),
                    calendar=calendar,
                    clock=clock,
                    limits=tightened(strategy.risk, limits),
                    account_ref=account_ref,
                    mode=own_mode,
                    platform_mode=platform_mode,
                    dagster_run_id=dagster_run_id,
                    created_by=created_by,
                )
            )
    return proposals


def _is_tradable(session: TradingSession, calendar: ExchangeCalendar, clock: Clock) -> bool:
    """Whether an order decided at the close of `session` could be sent now or later."""
    from ibkr_assets.portfolio.rebalance import time_orders

    now = clock.now()
    return time_orders(calendar.next_session(session.day), now).valid_until > now

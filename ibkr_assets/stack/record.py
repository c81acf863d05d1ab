"""What the platform's database says of a stack's sessions: what is under way, and what became of each.

Reading only. Waiting for it is `stack.replay`, showing it is `stack.report`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.order import OrderState
from ibkr_assets.domain.session import TradingSession

#: States in which the next move is the submitter's, without waiting for the market.
UNSENT = (
    OrderState.PROPOSED, OrderState.APPROVED, OrderState.SUBMITTING, OrderState.QUESTION, OrderState.CONFIRMING,
    OrderState.UNKNOWN,
)  # fmt: skip
OPEN = tuple(state for state in OrderState if not state.is_terminal)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The account as the submitter last reconciled it, at a market time."""

    market_at: datetime
    nav_usd: Decimal


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session in numbers. `bars` passed validation; `orders` were sent; `nav_usd` is of the following opening."""

    day: date
    bars: int
    signals: int
    orders: int
    fills: int
    nav_usd: Decimal | None


class StackRecord:
    """Reads of one account's record. Raises Unavailable when the database is away."""

    def __init__(self, database: Database, account_ref: str) -> None:
        self._database = database
        self._account_ref = account_ref

    def intents_in(self, states: Sequence[OrderState]) -> list[str]:
        """Intents in these states, in words for an error message."""
        rows = self._rows(
            "select symbol, side, quantity, state, session_date, reason from oms.order_intent"
            " where account_ref = %s and state = any(%s) order by session_date, symbol",
            self._account_ref,
            [state.value for state in states],
        )
        return [f"{side} {quantity:f} {symbol} of {day} {state} {reason}".strip()
                for symbol, side, quantity, state, day, reason in rows]  # fmt: skip

    def snapshot(self, until: datetime | None = None) -> Snapshot | None:
        """The newest account snapshot, or the newest of no later market time; None before the first."""
        rows = self._rows(
            "select market_at, nav_platform_usd from oms.account_snapshot"
            " where account_ref = %s and market_at <= coalesce(%s, 'infinity'::timestamptz)"
            " order by snapshot_id desc limit 1",
            self._account_ref,
            until,
        )
        return Snapshot(*rows[0]) if rows else None

    def session(self, session: TradingSession, following: TradingSession) -> SessionRecord:
        """What became of one session; `following` is the next one, in which its orders may fill."""
        rows = self._rows(
            """
            select
              (select count(*) from md.bar b join md.bar_verdict v using (conid, bar_size, opened_at, version)
               where b.known_to is null and b.bar_size = '1d' and v.verdict = 'accepted'
                 and b.opened_at >= %(opens)s and b.opened_at < %(closes)s),
              (select count(*) from research.current_signal where session_date = %(day)s),
              (select count(*) from oms.order_intent
               where account_ref = %(account)s and session_date = %(day)s and send_count > 0),
              (select count(*) from oms.execution_current e join oms.order_intent i using (intent_id)
               where i.account_ref = %(account)s and i.session_date = %(day)s and e.quantity > 0)
            """,
            opens=session.opens_at, closes=session.closes_at, day=session.day, account=self._account_ref,
        )  # fmt: skip
        snapshot = self.snapshot(until=following.closes_at)
        bars, signals, orders, fills = rows[0]
        return SessionRecord(session.day, bars, signals, orders, fills, snapshot.nav_usd if snapshot else None)

    def totals(self, sessions: Sequence[TradingSession]) -> dict[str, Any]:
        """Counts over all sessions together: bars, features, signals, intents, orders by state, fills."""
        if not sessions:
            return {"bars": {"raw": 0, "validated": 0, "quarantined": 0}, "features": 0, "signals": 0,
                    "intents": {"approved": 0, "denied": 0}, "orders": {}, "fills": 0}  # fmt: skip
        window = {"opens": sessions[0].opens_at, "closes": sessions[-1].closes_at, "account": self._account_ref}
        days = {**window, "first": sessions[0].day, "last": sessions[-1].day}
        raw, validated, quarantined = self._rows(
            """
            select count(*), count(*) filter (where v.verdict = 'accepted'),
              count(*) filter (where v.verdict = 'quarantined')
            from md.bar b left join md.bar_verdict v using (conid, bar_size, opened_at, version)
            where b.known_to is null and b.bar_size = '1d' and b.opened_at >= %(opens)s and b.opened_at < %(closes)s
            """,
            **window,
        )[0]
        features, signals, approved, denied, fills = self._rows(
            """
            with intent as (
              select i.intent_id, d.is_approved from oms.order_intent i
              left join oms.risk_decision d on d.intent_id = i.intent_id and d.heard = 'approval'
              where i.account_ref = %(account)s and i.session_date between %(first)s and %(last)s)
            select
              (select count(distinct (conid, opened_at)) from research.feature
               where bar_size = '1d' and opened_at >= %(opens)s and opened_at < %(closes)s),
              (select count(*) from research.current_signal where session_date between %(first)s and %(last)s),
              (select count(*) from intent where is_approved), (select count(*) from intent where not is_approved),
              (select count(*) from oms.execution_current join intent using (intent_id) where quantity > 0)
            """,
            **days,
        )[0]
        orders = self._rows(
            "select state, count(*) from oms.order_intent where account_ref = %(account)s"
            " and session_date between %(first)s and %(last)s group by state order by state",
            **days,
        )
        return {
            "bars": {"raw": raw, "validated": validated, "quarantined": quarantined},
            "features": features,
            "signals": signals,
            "intents": {"approved": approved, "denied": denied},
            "orders": dict(orders),
            "fills": fills,
        }

    def _rows(self, query: str, *positional: object, **named: object) -> list[tuple[Any, ...]]:
        with self._database.connect() as connection:
            return connection.execute(query, named or positional).fetchall()

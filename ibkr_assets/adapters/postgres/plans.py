"""What was decided for each signal, once: the plan is stored before its first intent is proposed.

A run that is repeated, or two runs at once, must not size the same signal again on a net asset value that has moved
since. So the plan of a signal is a row, and whoever comes later reads it. Used under the account's lock only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.exposure import read_held_and_working
from ibkr_assets.adapters.postgres.order_rows import intent_text, read_intent
from ibkr_assets.domain.errors import IdempotencyMismatch, InputError, Unavailable
from ibkr_assets.domain.order import Mode, OrderIntent
from ibkr_assets.domain.signal import Signal

#: What tells the revisions of a signal apart; the newest that says the same is the one that was planned.
_SIGNAL_KEY = (
    "strategy_id", "session_date", "conid", "strategy_version", "direction", "strength", "reference_price",
    "feature_digest", "input_digest", "reason",
)  # fmt: skip
_INSERT = f"""
insert into oms.plan (account_ref, mode, strategy_id, signal_bar_end, conid, strategy_version, session_date,
  signal_sha256, signal, held_and_working, nav_usd, intents, dagster_run_id, sizing, version_sha256, signal_id)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
  (select signal_id from research.signal where {" and ".join(f"{name} = %s" for name in _SIGNAL_KEY)}
   order by revision desc limit 1))
"""  # noqa: S608 - column names come from the line above


class PlanRows:
    """The plan rows of one account and mode, within one transaction."""

    def __init__(
        self, cursor: psycopg.Cursor[DictRow], account_ref: str, mode: Mode, version: str | None = None
    ) -> None:
        """`version` names what runs, and is kept with each plan."""
        self._cursor = cursor
        self._version = version
        self._account_ref = account_ref
        self._mode = mode

    def plan(
        self,
        signals: Sequence[Signal],
        plan: Callable[[Sequence[Signal], dict[int, Decimal], Decimal], Sequence[OrderIntent]],
        *,
        dagster_run_id: str | None,
        sizing: Mapping[int, dict[str, Any]],
    ) -> list[OrderIntent]:
        """The intents of all signals, the new ones planned and stored by this call."""
        strategies = {signal.strategy_id for signal in signals}
        if len(strategies) != 1:
            raise InputError(f"signals: must be of one strategy, got {sorted(strategies)}")
        stored = self._stored(signals)
        new = [signal for signal in signals if (signal.conid, signal.as_of) not in stored]
        if new:
            self._plan_new(new, plan, dagster_run_id, sizing)
            stored = self._stored(signals)
        return [intent for signal in signals for intent in stored[signal.conid, signal.as_of]]

    @staticmethod
    def net_asset_value(cursor: psycopg.Cursor[DictRow], account_ref: str) -> tuple[Decimal, datetime] | None:
        """The newest snapshot's NAV by the platform's own books, and its market time."""
        row = cursor.execute(
            "select nav_platform_usd, market_at from oms.account_snapshot where account_ref = %s "
            "order by snapshot_id desc limit 1",
            (account_ref,),
        ).fetchone()
        return None if row is None else (row["nav_platform_usd"], row["market_at"])

    def _plan_new(
        self,
        signals: Sequence[Signal],
        plan: Callable[[Sequence[Signal], dict[int, Decimal], Decimal], Sequence[OrderIntent]],
        dagster_run_id: str | None,
        sizing: Mapping[int, dict[str, Any]],
    ) -> None:
        nav = self.net_asset_value(self._cursor, self._account_ref)
        if nav is None:
            raise Unavailable(
                f"no net asset value of {self._account_ref} yet: the submitter has not reconciled the account; "
                "start it and try again"
            )
        held = read_held_and_working(self._cursor, self._account_ref, self._mode, signals[0].strategy_id)
        intents = plan(signals, held, nav[0])
        for signal in signals:
            own = [i for i in intents if i.conid == signal.conid and i.signal_bar_end == signal.as_of]
            self._cursor.execute(
                _INSERT,
                (
                    self._account_ref,
                    self._mode,
                    signal.strategy_id,
                    signal.as_of,
                    signal.conid,
                    signal.strategy_version,
                    signal.session_date,
                    _digest(signal),
                    Jsonb(_signal_text(signal)),
                    held.get(signal.conid, Decimal(0)),
                    nav[0],
                    Jsonb([intent_text(intent) for intent in own]),
                    dagster_run_id,
                    Jsonb(sizing[signal.conid]) if signal.conid in sizing else None,
                    self._version,
                    *(getattr(signal, name) for name in _SIGNAL_KEY),
                ),
            )
        planned = {(signal.conid, signal.as_of) for signal in signals}
        for intent in intents:
            if (intent.conid, intent.signal_bar_end) not in planned:
                raise InputError(f"plan: intent {intent.decision_key} belongs to none of the signals")

    def _stored(self, signals: Sequence[Signal]) -> dict[tuple[int, datetime], list[OrderIntent]]:
        rows = self._cursor.execute(
            "select conid, signal_bar_end, signal_sha256, intents from oms.plan where account_ref = %s and mode = %s "
            "and strategy_id = %s and signal_bar_end = any(%s)",
            (self._account_ref, self._mode, signals[0].strategy_id, [signal.as_of for signal in signals]),
        ).fetchall()
        by_key = {(row["conid"], row["signal_bar_end"]): row for row in rows}
        found: dict[tuple[int, datetime], list[OrderIntent]] = {}
        for signal in signals:
            row = by_key.get((signal.conid, signal.as_of))
            if row is None:
                continue
            if row["signal_sha256"] != _digest(signal):
                raise IdempotencyMismatch(
                    f"signal of {signal.strategy_id} for {signal.symbol} at {signal.as_of.isoformat()} was planned "
                    f"before and now says {signal.direction} {signal.strength} at {signal.reference_price}; "
                    "a decision is not taken twice"
                )
            found[signal.conid, signal.as_of] = [read_intent(item) for item in row["intents"]]
        return found


def _signal_text(signal: Signal) -> dict[str, Any]:
    return {name: value if isinstance(value, int | float) else str(value) for name, value in asdict(signal).items()}


def _digest(signal: Signal) -> str:
    """Hash of what the sizing depends on; lineage such as digests of inputs may change without harm."""
    body = [str(signal.direction), repr(signal.strength), str(signal.reference_price.normalize())]
    return hashlib.sha256(json.dumps(body).encode()).hexdigest()

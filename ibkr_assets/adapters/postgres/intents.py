"""The order ledger as those who decide see it: propose once, and read what became of it.

What goes here: the `IntentBook` over Postgres. What does not: anything that a sent order needs (`sends`,
`executions`, `doubts`); the submitter alone holds those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import DictRow

from ibkr_assets.adapters.postgres.batch import Statement, fetch_together
from ibkr_assets.adapters.postgres.circumstances import read_average_true_range, read_circumstances
from ibkr_assets.adapters.postgres.exposure import read_held_and_working
from ibkr_assets.adapters.postgres.limits import KeptLimits
from ibkr_assets.adapters.postgres.order_rows import (
    INTENT_FIELDS,
    intent_values,
    read_record,
    record_columns,
)
from ibkr_assets.adapters.postgres.plans import PlanRows
from ibkr_assets.adapters.postgres.recovery import ADOPTED
from ibkr_assets.adapters.postgres.risk_decisions import decision_statement
from ibkr_assets.adapters.postgres.risk_facts import exposure_statements, parse_exposure
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.adapters.postgres.versions import RunningVersion
from ibkr_assets.domain.errors import IdempotencyMismatch, InputError
from ibkr_assets.domain.lineage import Version
from ibkr_assets.domain.order import Mode, OrderIntent, OrderState
from ibkr_assets.domain.signal import Signal
from ibkr_assets.ports import IntentRecord
from ibkr_assets.risk.engine import Approved, Decision, Exposure, Limits
from ibkr_assets.risk.facts import Circumstances, PlatformFacts
from ibkr_assets.risk.rules import Heard

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

_INSERT = f"""
insert into oms.order_intent ({", ".join(INTENT_FIELDS)}, decision_key, client_order_id, payload_sha256, state,
                              cause, dagster_run_id, created_by)
values ({", ".join(f"%({name})s" for name in INTENT_FIELDS)}, %(decision_key)s, %(client_order_id)s,
        %(payload_sha256)s, 'PROPOSED', 'propose', %(dagster_run_id)s, %(created_by)s)
on conflict (decision_key) do nothing
returning intent_id
"""  # noqa: S608 - column names come from the dataclass
_MAKE_ACCOUNT = "insert into oms.account (account_ref) values (%(account)s) on conflict do nothing"
_LOCK_ACCOUNT = "select from oms.account where account_ref = %(account)s for update"
_RESERVE = """
insert into oms.reservation (intent_id, account_ref, conid, quantity, notional_usd)
values (%(intent)s, %(account)s, %(conid)s, %(quantity)s, %(notional)s)
"""
_MOVE = f"""
update oms.order_intent i set state = %(state)s, version = i.version + 1, cause = %(cause)s, reason = %(reason)s
where i.intent_id = %(intent)s returning {record_columns("i")}
"""  # noqa: S608 - column names come from the dataclass
_STORED = f"select i.payload_sha256, {record_columns('i')} from oms.order_intent i where i.decision_key = %(key)s"  # noqa: S608


class PostgresIntents:
    """`IntentBook` over the schema `oms`. `salt` goes into every client order id; `version` says what runs.

    `machine` measures the machine that decides; without it the rules that ask deny.
    """

    def __init__(
        self,
        database: Database,
        salt: str,
        version: Callable[[], Version] | None = None,
        machine: Callable[[], PlatformFacts] | None = None,
    ) -> None:
        self._database = database
        self._salt = salt
        self._version = RunningVersion(database, version)
        self._machine = machine
        self._limits = KeptLimits(database)

    def propose(
        self,
        intent: OrderIntent,
        review: Callable[[OrderIntent, Exposure], Decision],
        *,
        now: datetime,
        dagster_run_id: str | None,
        created_by: str,
        limits: Limits | None = None,
    ) -> IntentRecord:
        """Store an intent with its decision, or return the record that the same decision has already.

        Everything that several orders share is read under the account's lock, in the transaction that approves: of
        two orders at once the second sees the first. `limits` say how such figures are grouped. Raises
        IdempotencyMismatch when the decision is stored with another payload.
        """
        _check_utc(intent)
        version, grouping = self._version.name(), limits or Limits()
        if limits is not None:
            self._limits.name(limits)  # kept before the account is locked
        values = intent_values(intent) | {
            "decision_key": intent.decision_key,
            "client_order_id": intent.client_order_id(self._salt),
            "payload_sha256": intent.payload_sha256,
            "dagster_run_id": dagster_run_id,
            "created_by": created_by,
        }
        opening = [*_lock_statements(intent.account_ref), (_INSERT, values)]
        with transaction(self._database) as cursor:
            found = fetch_together(cursor, [*opening, *exposure_statements(intent, now=now, limits=grouping)])
            inserted, shared = found[len(opening) - 1], found[len(opening) :]
            if not inserted:
                return self._stored(cursor, intent)
            intent_id = inserted[0]["intent_id"]
            if intent.valid_until <= now:
                reason = f"valid until {intent.valid_until.isoformat()}, market time was {now.isoformat()}"
                closing = [_move(intent_id, OrderState.EXPIRED_UNSENT, cause="expired", reason=reason)]
            else:
                exposure = parse_exposure(intent, grouping, shared)
                decision = review(intent, exposure)
                name = None if decision.limits is None else self._limits.name(decision.limits)
                stored = decision_statement(
                    intent_id, decision, exposure, heard=Heard.APPROVAL, market_at=now, limits_name=name,
                    version=version,
                )  # fmt: skip
                closing = [stored, *_follow(intent_id, intent, decision)]
            (row,) = fetch_together(cursor, closing)[-1]
            return read_record(row, is_new=True)

    def plan_once(
        self,
        signals: Sequence[Signal],
        plan: Callable[[Sequence[Signal], dict[int, Decimal], Decimal], Sequence[OrderIntent]],
        *,
        account_ref: str,
        mode: Mode,
        dagster_run_id: str | None,
        sizing: Mapping[int, dict[str, Any]] | None = None,
    ) -> list[OrderIntent]:
        """The intents of these signals of one strategy: planned the first time, read back ever after.

        `plan` is called under the account's lock, with the signals that were never planned, what the strategy holds
        and has working, and the net asset value. `sizing`, by conid, is what it sizes by, kept to explain it. Raises
        Unavailable when there is no NAV yet, IdempotencyMismatch when a signal that was planned before says something
        else now.
        """
        if not signals:
            return []
        version = self._version.name()
        with transaction(self._database) as cursor:
            fetch_together(cursor, _lock_statements(account_ref))
            rows = PlanRows(cursor, account_ref, mode, version)
            return rows.plan(signals, plan, dagster_run_id=dagster_run_id, sizing=sizing or {})

    def intents(
        self,
        *,
        session_date: date | None = None,
        strategy_id: str | None = None,
        states: Sequence[OrderState] | None = None,
    ) -> list[IntentRecord]:
        """Stored records in the order they were proposed; each argument narrows."""
        query = f"""
            select {record_columns("i")} from oms.order_intent i
            where (%(day)s::date is null or i.session_date = %(day)s)
              and (%(strategy)s::text is null or i.strategy_id = %(strategy)s)
              and (%(states)s::text[] is null or i.state = any(%(states)s))
            order by i.created_at, i.intent_id
        """  # noqa: S608 - column names come from the dataclass
        wanted = None if states is None else [str(state) for state in states]
        with transaction(self._database) as cursor:
            rows = cursor.execute(query, {"day": session_date, "strategy": strategy_id, "states": wanted}).fetchall()
        return [read_record(row) for row in rows]

    def held_and_working(self, account_ref: str, mode: Mode, strategy_id: str) -> dict[int, Decimal]:
        """Signed shares by conid of one strategy: fills, and what is left of orders that hold risk."""
        with transaction(self._database) as cursor:
            return read_held_and_working(cursor, account_ref, mode, strategy_id)

    def circumstances(self, intent: OrderIntent) -> Circumstances:
        """What is known of the order alone, read now and without a lock."""
        machine = self._machine() if self._machine else PlatformFacts()
        with transaction(self._database) as cursor:
            return read_circumstances(cursor, intent, machine)

    def average_true_range(self, conid: int, bar_end: datetime) -> Decimal | None:
        """In USD, over the twenty newest daily bars up to `bar_end`; None where there are not as many."""
        with transaction(self._database) as cursor:
            return read_average_true_range(cursor, conid, bar_end)

    def release(self, decision_key: str, *, code: str, actor: str, reason: str) -> None:
        """Say, as a person, that a denial was wrong: the decision may come again as its next generation.

        Raises InputError when no such decision was denied with this code.
        """
        with transaction(self._database) as cursor:
            row = cursor.execute(
                "insert into oms.risk_release (decision_key, code, actor, reason) "
                "select i.decision_key, d.code, %(actor)s, %(reason)s from oms.order_intent i "
                "join oms.risk_decision d using (intent_id) "
                "where i.decision_key = %(key)s and d.code = %(code)s and not d.is_approved returning release_id",
                {"key": decision_key, "code": code, "actor": actor, "reason": reason},
            ).fetchone()
        if row is None:
            raise InputError(f"decision_key: {decision_key!r} was not denied with code {code!r}")

    def killed_by(self, account_ref: str, strategy_id: str, conid: int | None = None) -> str | None:
        """The active kill or disarm that covers this account, strategy or instrument, in words, or None."""
        with transaction(self._database) as cursor:
            row = cursor.execute(
                "select oms.blocked_by(%s, %s, %s) as reason", (account_ref, strategy_id, conid)
            ).fetchone()
        return None if row is None else row["reason"]

    def net_asset_value(self, account_ref: str) -> tuple[Decimal, datetime] | None:
        """The platform's newest NAV of the account and the market time it is of."""
        with transaction(self._database) as cursor:
            return PlanRows.net_asset_value(cursor, account_ref)

    def _stored(self, cursor: psycopg.Cursor[DictRow], intent: OrderIntent) -> IntentRecord:
        row = cursor.execute(_STORED, {"key": intent.decision_key}).fetchone()
        assert row is not None
        record = read_record(row, is_new=False)
        if row["payload_sha256"] not in (ADOPTED, intent.payload_sha256):
            raise IdempotencyMismatch(
                f"decision {intent.decision_key} is stored as {_summary(record.intent)}, "
                f"and came again as {_summary(intent)}"
            )
        return record


def _lock_statements(account_ref: str) -> list[Statement]:
    """Hold the account's row until the end of the transaction; the first caller makes the row."""
    return [(_MAKE_ACCOUNT, {"account": account_ref}), (_LOCK_ACCOUNT, {"account": account_ref})]


def _follow(intent_id: str, intent: OrderIntent, decision: Decision) -> list[Statement]:
    """What a decision does to the order, the last one returning its record."""
    if not isinstance(decision, Approved):
        return [_move(intent_id, OrderState.DENIED, cause="risk", reason=f"{decision.code}: {decision.text}")]
    price = intent.limit_price or intent.reference_price
    reserved = {
        "intent": intent_id, "account": intent.account_ref, "conid": intent.conid, "quantity": intent.quantity,
        "notional": intent.quantity * price,
    }  # fmt: skip
    return [(_RESERVE, reserved), _move(intent_id, OrderState.APPROVED, cause="risk", reason="")]


def _move(intent_id: str, state: OrderState, *, cause: str, reason: str) -> Statement:
    return _MOVE, {"intent": intent_id, "state": state, "cause": cause, "reason": reason}


def _check_utc(intent: OrderIntent) -> None:
    for name in ("signal_bar_end", "valid_until"):
        moment: datetime = getattr(intent, name)
        if moment.utcoffset() is None or moment.isoformat()[-6:] != "+00:00":
            raise InputError(f"{name}: must be in UTC, since it is part of the decision's identity, got {moment!r}")


def _summary(intent: OrderIntent) -> str:
    limit = "market" if intent.limit_price is None else f"limit {intent.limit_price}"
    return (
        f"{intent.side} {intent.quantity} {intent.symbol} {limit} {intent.time_in_force} "
        f"valid until {intent.valid_until.isoformat()}"
    )

"""The doors of the order ledger as the submitter needs them, part by part.

What goes here: the smallest interface of each part. What does not: SQL; `adapters.postgres` implements them. All
methods raise Unavailable when the database does not answer and LedgerConflict when it refuses.
"""

# ruff: noqa: D102 - each method is described where it is implemented, in `adapters.postgres`

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ibkr_assets.domain.account import Fill
    from ibkr_assets.domain.broker import Question
    from ibkr_assets.domain.ledger import (
        AccountSnapshot,
        Books,
        Break,
        CallOutcome,
        CashEvent,
        Evidence,
        FillsSaved,
        Holding,
        Losses,
        Observation,
        SharesEvent,
        StoredSnapshot,
    )
    from ibkr_assets.domain.order import Mode, OrderIntent, OrderState
    from ibkr_assets.domain.recovery import Restoration
    from ibkr_assets.ports import IntentRecord
    from ibkr_assets.risk.engine import Refusal
    from ibkr_assets.risk.facts import Exposure, Limits


class Lease(Protocol):
    """The right to write, and its heartbeat."""

    def register(self, broker_account: str, mode: Mode) -> None: ...

    def acquire(self, holder: str, lease_s: float) -> int | None: ...

    def renew(self, epoch: int) -> None: ...

    def release(self) -> None: ...

    def beat(
        self, status: str, *, detail: str, epoch: int | None, market_at: datetime | None, busy_s: float = 0.0
    ) -> None: ...

    def wait(self, timeout_s: float) -> bool: ...


class Sends(Protocol):
    """Approved orders, and the rows around a call that changes something at the broker."""

    def records(self, states: Sequence[OrderState]) -> list[IntentRecord]: ...

    def find(self, client_order_ids: Sequence[str]) -> dict[str, IntentRecord]: ...

    def to_cancel(self, *, is_everything: bool = False) -> list[tuple[IntentRecord, str]]: ...

    def withdrawn(self, approved: Sequence[IntentRecord]) -> dict[str, str]: ...

    def expire(self, now: datetime, *, epoch: int) -> int: ...

    def deny(
        self, record: IntentRecord, reason: str, *, epoch: int, refusal: Refusal | None = None
    ) -> IntentRecord: ...

    def held_back_by(self, record: IntentRecord) -> str | None: ...

    def exposure(self, record: IntentRecord, *, now: datetime, limits: Limits) -> Exposure: ...

    def begin_send(
        self, record: IntentRecord, *, epoch: int, request: dict[str, Any], market_at: datetime
    ) -> tuple[int, IntentRecord]: ...

    def begin_reply(
        self,
        record: IntentRecord,
        reply_id: str,
        *,
        is_confirmed: bool,
        reason: str,
        epoch: int,
        market_at: datetime,
    ) -> tuple[int, IntentRecord]: ...

    def begin_cancel(
        self, record: IntentRecord, *, epoch: int, market_at: datetime, reason: str
    ) -> tuple[int, IntentRecord]: ...

    def record_answer(
        self,
        record: IntentRecord,
        call_id: int,
        outcome: CallOutcome,
        state: OrderState,
        *,
        epoch: int,
        http_status: int | None,
        answer: str,
        reason: str = "",
        broker_order_id: str | None = None,
        question: Question | None = None,
    ) -> IntentRecord: ...

    def move(
        self,
        record: IntentRecord,
        state: OrderState,
        *,
        epoch: int,
        cause: str,
        reason: str | None = None,
        detail: dict[str, Any] | None = None,
        broker_order_id: str | None = None,
    ) -> IntentRecord: ...


class Executions(Protocol):
    """Executions, counted once."""

    def save_fills(self, fills: Sequence[Fill], *, epoch: int) -> FillsSaved: ...

    def of_instrument(self, conid: int, *, since: datetime) -> list[Fill]: ...

    def missing_from(self, fills: Sequence[Fill], *, since: datetime) -> list[Fill]: ...

    def save_busts(self, busted: Sequence[Fill], *, epoch: int) -> int: ...


class Doubts(Protocol):
    """Orders in doubt and the evidence about them."""

    def doubt_in_flight(self, *, epoch: int) -> list[IntentRecord]: ...

    def doubts(self) -> list[tuple[IntentRecord, Evidence]]: ...

    def observe(self, record: IntentRecord, seen: Observation) -> None: ...

    def close_rehearsal(self, record: IntentRecord, *, epoch: int) -> IntentRecord: ...

    def open_questions(self, record: IntentRecord) -> list[str]: ...

    def begin_decline(self, record: IntentRecord, reply_id: str, *, epoch: int, market_at: datetime) -> int: ...

    def end_decline(self, call_id: int, outcome: CallOutcome, *, http_status: int | None, answer: str) -> None: ...


class Account(Protocol):
    """The platform's own books."""

    def books(self) -> Books: ...

    def save_opening(self, cash: Decimal, holdings: Sequence[Holding], *, market_at: datetime) -> None: ...

    def save_cash_events(self, events: Sequence[CashEvent], *, market_at: datetime) -> None: ...

    def save_split(self, found: SharesEvent, *, market_at: datetime) -> None: ...

    def save_snapshot(self, snapshot: AccountSnapshot, *, epoch: int) -> None: ...

    def last_snapshot(self) -> StoredSnapshot | None: ...

    def save_day(self, session_date: date, snapshot_id: int) -> bool: ...

    def losses(self, day: datetime) -> Losses | None: ...


class Differences(Protocol):
    """Reconciliation runs and what they found."""

    def open_run(self, kind: str, *, epoch: int, gateway_session: str) -> int: ...

    def close_run(
        self,
        run_id: int,
        *,
        is_clean: bool,
        market_at: datetime,
        orders_seen: int,
        trades_seen: int,
        report: dict[str, Any] | None = None,
        answers: Sequence[int] = (),
    ) -> None: ...

    def open_requests(self) -> list[int]: ...

    def save_break(self, found: Break, *, unless_equal: Sequence[str] = ()) -> bool: ...

    def resolve(self, kind: str, *, keep: Collection[str], resolved_by: str) -> int: ...

    def open_breaks(self) -> list[Break]: ...


class Permission(Protocol):
    """Permission to trade on the account."""

    def withdraw_for_loss(self, action: str, reason: str, evidence: dict[str, str]) -> bool: ...

    def kill(self, reason: str, *, actor: str = "submitter", is_only_in_doubt: bool = False) -> bool: ...


class Recovery(Protocol):
    """What a ledger that came back from a backup takes over."""

    def open_restoration(self) -> Restoration | None: ...

    def strategies(self) -> list[str]: ...

    def adopt(
        self,
        restoration: Restoration,
        intent: OrderIntent,
        client_order_id: str,
        *,
        is_attributed: bool,
        evidence: dict[str, Any],
    ) -> IntentRecord: ...

    def adopt_unsent(
        self, restoration: Restoration, record: IntentRecord, *, epoch: int, evidence: dict[str, Any]
    ) -> IntentRecord: ...


class AccountLedger(Protocol):
    """All parts of one account's ledger."""

    @property
    def lease(self) -> Lease: ...

    @property
    def sends(self) -> Sends: ...

    @property
    def executions(self) -> Executions: ...

    @property
    def doubts(self) -> Doubts: ...

    @property
    def account(self) -> Account: ...

    @property
    def differences(self) -> Differences: ...

    @property
    def permission(self) -> Permission: ...

    @property
    def recovery(self) -> Recovery: ...

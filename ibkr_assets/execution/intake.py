"""Intents from outside the assets: one JSON object a line, through the same review as any other.

What goes here: reading the lines into intents. What does not: the review (`risk.engine`) and the storing, which
are the same door as the assets use (`ports.IntentBook`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.order import Mode, OrderIntent, OrderType, Side, TimeInForce, account_ref
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.execution.propose import review_with
from ibkr_assets.market.calendar import ExchangeCalendar
from ibkr_assets.ports import Clock, IntentBook
from ibkr_assets.risk.engine import Limits


class IntentLine(BaseModel):
    """One line of the file. Times must carry a zone; without them the newest closed session decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy_id: str
    symbol: str
    side: Side
    quantity: Decimal
    order_type: OrderType = OrderType.LIMIT
    limit_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.OPENING
    reference_price: Decimal
    signal_bar_end: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    purpose: str = "outside"
    leg: int = 0
    generation: int = 0
    dry_run: bool = True


def add_intents(
    file: Path,
    *,
    book: IntentBook,
    instruments: Sequence[Instrument],
    calendar: ExchangeCalendar,
    clock: Clock,
    limits: Limits,
    account: str,
    mode: Mode,
) -> list[dict[str, Any]]:
    """Propose every intent of the file; all lines are read before the first is stored.

    Returns one row an intent: decision_key, client_order_id, outcome (approved, denied, expired, or the state it
    already had), reason, is_new. Raises InputError naming the line and the field, ConfigurationError in mode live.
    """
    if mode is Mode.LIVE:
        raise ConfigurationError("mode: intents from outside are refused in mode live")
    by_symbol = {instrument.symbol: instrument for instrument in instruments}
    now = clock.now()
    session = calendar.last_closed(now)
    following = calendar.next_session(session.day)
    intents = [_intent(number, line, by_symbol, session, following, account, mode) for number, line in _lines(file)]
    rows = []
    for intent in intents:
        record = book.propose(
            intent,
            review_with(book, intent, limits=limits, platform_mode=mode, now=now, calendar=calendar),
            now=now,
            dagster_run_id=None,
            created_by="intents add",
            limits=limits,
        )
        rows.append(
            {
                "decision_key": intent.decision_key,
                "client_order_id": record.client_order_id,
                "outcome": str(record.state).lower(),
                "reason": record.reason,
                "is_new": record.is_new,
            }
        )
    return rows


def _lines(file: Path) -> list[tuple[int, IntentLine]]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"file: no such file: {file}") from None
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            lines.append((number, IntentLine.model_validate(json.loads(line, parse_float=Decimal))))
        except json.JSONDecodeError as error:
            raise InputError(f"file: {file} line {number}: not JSON: {error.msg}") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise InputError(f"file: {file} line {number}: {field}: {first['msg']}, got {first['input']!r}") from None
    return lines


def _intent(
    number: int,
    line: IntentLine,
    instruments: dict[str, Instrument],
    session: TradingSession,
    following: TradingSession,
    account: str,
    mode: Mode,
) -> OrderIntent:
    if line.symbol not in instruments:
        raise InputError(f"file: line {number}: symbol: {line.symbol!r} is not a known instrument")
    signal_bar_end: datetime = line.signal_bar_end or session.closes_at
    try:
        return OrderIntent(
            strategy_id=line.strategy_id,
            account_ref=account_ref(account),
            mode=Mode.DRY_RUN if line.dry_run else mode,
            conid=instruments[line.symbol].conid,
            symbol=line.symbol,
            side=line.side,
            order_type=line.order_type,
            quantity=line.quantity,
            limit_price=line.limit_price,
            time_in_force=line.time_in_force,
            reference_price=line.reference_price,
            session_date=session.day,
            signal_bar_end=signal_bar_end,
            valid_until=line.valid_until or following.opens_at,
            purpose=line.purpose,
            leg=line.leg,
            generation=line.generation,
        )
    except ValueError as error:
        raise InputError(f"file: line {number}: {error}") from None

"""The last review of an approved order, right before it would leave.

What goes here: the facts of that review, the broker's preview last. What does not: the rules (`risk`), and sending
(`submit`). What has gone wrong for good denies; what passes by itself, such as too many calls in a minute, lets the
order wait.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ibkr_assets.domain.errors import BrokerRefusal, UnreadableAnswer
from ibkr_assets.execution.kill import killed_by_file
from ibkr_assets.execution.propose import age_in_bars
from ibkr_assets.risk.cash import wants_preview
from ibkr_assets.risk.engine import Denied, Facts, Refusal, review_departure
from ibkr_assets.risk.facts import DataFacts, DepartureFacts
from ibkr_assets.risk.rules import UNASKED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibkr_assets.domain.order import OrderIntent
    from ibkr_assets.execution.prices import Sighting
    from ibkr_assets.execution.seat import Seat
    from ibkr_assets.ports import IntentRecord
    from ibkr_assets.risk.finding import Finding


def hear_departure(seat: Seat, record: IntentRecord, seen: Sighting) -> Refusal | None:
    """What speaks against sending the order now, or None.

    The broker is asked what the order would do when nothing else speaks against it, so that one that waits costs no
    calls. Raises Unavailable when the ledger does not answer, or the broker could not be asked.
    """
    intent, limits = record.intent, seat.options.limits
    facts = _facts(seat, intent, seen)
    exposure = seat.ledger.sends.exposure(record, now=facts.now, limits=limits)
    decision = review_departure(intent, facts, exposure, limits, rules=UNASKED)
    if not isinstance(decision, Denied):
        if wants_preview(intent, exposure):
            facts = replace(facts, departure=_ask(seat, record, facts.departure))
        decision = review_departure(intent, facts, exposure, limits)
    return Refusal(decision, exposure, facts.now) if isinstance(decision, Denied) else None


def refuse(seat: Seat, record: IntentRecord, seen: Sighting, findings: Sequence[Finding]) -> Refusal:
    """The refusal that these findings are, the last of which failed, with what else is known to be stored with it."""
    facts, limits, failed = _facts(seat, record.intent, seen), seat.options.limits, findings[-1]
    denied = Denied(record.intent, failed.code, failed.text, tuple(findings), facts, limits)
    return Refusal(denied, seat.ledger.sends.exposure(record, now=facts.now, limits=limits), facts.now)


def _facts(seat: Seat, intent: OrderIntent, seen: Sighting) -> Facts:
    """What is known before the broker is asked for a preview."""
    from ibkr_assets.market.calendar import exchange_calendar

    now, calendar = seat.clock.now(), exchange_calendar(seat.options.calendar)
    return Facts(
        now=now,
        mode=seat.mode,
        nav_usd=None,
        killed_by=killed_by_file(seat.options.kill_file),
        data=DataFacts(signal_age_bars=age_in_bars(calendar, intent.signal_bar_end, now)),
        departure=DepartureFacts(
            quote=seen.quote,
            quoted_at=seen.market_at,
            gateway_skew_s=seat.broker.clock_skew_s(),
            session=calendar.session_at(now),
            is_calendar_known=True,
            reset_zone=seat.options.reset_zone.key,
        ),
    )


def _ask(seat: Seat, record: IntentRecord, known: DepartureFacts) -> DepartureFacts:
    """The facts with the broker's preview, or with why there is none."""
    try:
        return replace(known, preview=seat.broker.preview(seat.ticket(record)))
    except (BrokerRefusal, UnreadableAnswer, ValueError) as error:
        return replace(known, preview_failure=str(error))

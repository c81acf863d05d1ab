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
from ibkr_assets.risk.engine import Denied, Facts, review_departure
from ibkr_assets.risk.facts import DataFacts, DepartureFacts
from ibkr_assets.risk.rules import UNASKED

if TYPE_CHECKING:
    from ibkr_assets.execution.prices import Sighting
    from ibkr_assets.execution.seat import Seat
    from ibkr_assets.ports import IntentRecord


def hear_departure(seat: Seat, record: IntentRecord, seen: Sighting) -> Denied | None:
    """What speaks against sending the order now, or None.

    The broker is asked what the order would do when nothing else speaks against it, so that one that waits costs no
    calls. Raises Unavailable when the ledger does not answer, or the broker could not be asked.
    """
    from ibkr_assets.market.calendar import exchange_calendar

    intent, now, limits = record.intent, seat.clock.now(), seat.options.limits
    calendar = exchange_calendar(seat.options.calendar)
    facts = Facts(
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
    exposure = seat.ledger.sends.exposure(record, now=now, limits=limits)
    decision = review_departure(intent, facts, exposure, limits, rules=UNASKED)
    if isinstance(decision, Denied):
        return decision
    if wants_preview(intent, exposure):
        facts = replace(facts, departure=_ask(seat, record, facts.departure))
    decision = review_departure(intent, facts, exposure, limits)
    return decision if isinstance(decision, Denied) else None


def _ask(seat: Seat, record: IntentRecord, known: DepartureFacts) -> DepartureFacts:
    """The facts with the broker's preview, or with why there is none."""
    try:
        return replace(known, preview=seat.broker.preview(seat.ticket(record)))
    except (BrokerRefusal, UnreadableAnswer, ValueError) as error:
        return replace(known, preview_failure=str(error))

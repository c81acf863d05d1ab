"""What a loss does to the permission to trade, after each valuation of the account.

What goes here: from the losses of the books to a control row, once a day and once a peak. What does not: the limits and
what they ask for (`risk.loss`), and the sums, which are those that a review is given (`adapters.postgres.losses`).
"""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING

from ibkr_assets.execution.seat import NEW_YORK, log
from ibkr_assets.risk.loss import loss_consequence

if TYPE_CHECKING:
    from ibkr_assets.domain.ledger import Loss, Losses
    from ibkr_assets.execution.seat import Seat


def stop_after_loss(seat: Seat, market_at: datetime) -> None:
    """Withdraw permission to trade where the newest valuation asks for it; a loss that cannot be judged does too.

    A day begins at midnight in New York, with the last net asset value before it. What a person has resumed is not
    withdrawn again for the same day, or for the same peak.
    """
    day = datetime.combine(market_at.astimezone(NEW_YORK), time(), NEW_YORK)
    losses = seat.ledger.account.losses(day)
    limits = seat.options.limits
    if losses is None or losses.of_day.fraction is None or losses.from_peak.fraction is None:
        log.error("the loss cannot be judged: %s", losses)
        unknown = loss_consequence(None, None, limits)
        if unknown is not None:
            evidence = {"since": f"unknown {day.date()}", "losses": str(losses)}
            seat.ledger.permission.withdraw_for_loss(unknown.action, unknown.reason, evidence)
        return
    of_day, from_peak = losses.of_day, losses.from_peak
    for loss, since, found in (
        (of_day, f"day {day.date()}", loss_consequence(of_day.fraction, Decimal(0), limits)),
        (from_peak, f"peak {from_peak.since.isoformat()}", loss_consequence(Decimal(0), from_peak.fraction, limits)),
    ):
        if found is None:
            continue
        reason = f"{found.reason}: {_words(loss)}"
        if seat.ledger.permission.withdraw_for_loss(found.action, reason, {"since": since, **_numbers(loss, losses)}):
            log.error("%s: %s", found.action, reason)


def _words(loss: Loss) -> str:
    return f"{loss.amount:.2f} of {loss.base:.2f} USD since {loss.since.isoformat()}, now {loss.nav:.2f}"


def _numbers(loss: Loss, losses: Losses) -> dict[str, str]:
    return {
        "lost_usd": str(loss.amount),
        "base_usd": str(loss.base),
        "base_at": loss.since.isoformat(),
        "nav_usd": str(losses.nav),
        "nav_at": losses.nav_at.isoformat(),
    }

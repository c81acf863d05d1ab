"""What a loss does to the permission to trade, after each valuation of the account.

What goes here: from the history of net asset values to a control row, once a day and once a peak. What does not: the
limits and what they ask for (`risk.loss`), and the sums (`portfolio.performance`).
"""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING

from ibkr_assets.domain.errors import DataError
from ibkr_assets.execution.seat import NEW_YORK, log
from ibkr_assets.portfolio.performance import drawdown, loss_since
from ibkr_assets.risk.loss import loss_consequence

if TYPE_CHECKING:
    from ibkr_assets.execution.seat import Seat
    from ibkr_assets.portfolio.performance import Loss, NavPoint


def stop_after_loss(seat: Seat, market_at: datetime) -> None:
    """Withdraw permission to trade where the newest valuation asks for it; a loss that cannot be judged does too.

    A day begins at midnight in New York, with the last net asset value before it. What a person has resumed is not
    withdrawn again for the same day, or for the same peak.
    """
    day = datetime.combine(market_at.astimezone(NEW_YORK), time(), NEW_YORK)
    history = seat.ledger.account.nav_history(day)
    limits = seat.options.limits
    try:
        of_day, fall = loss_since(history, max(day, history[0].at)), drawdown(history)
    except DataError as error:
        log.error("the loss cannot be judged: %s", error)
        unknown = loss_consequence(None, None, limits)
        if unknown is not None:
            evidence = {"since": f"unknown {day.date()}", "error": str(error)}
            seat.ledger.permission.withdraw_for_loss(unknown.action, unknown.reason, evidence)
        return
    for loss, found in (
        (of_day, loss_consequence(of_day.fraction, Decimal(0), limits)),
        (fall, loss_consequence(Decimal(0), fall.fraction, limits)),
    ):
        if found is None:
            continue
        since = f"day {day.date()}" if loss is of_day else f"peak {loss.since.isoformat()}"
        reason = f"{found.reason}: {_words(loss, history)}"
        if seat.ledger.permission.withdraw_for_loss(found.action, reason, {"since": since, **_numbers(loss, history)}):
            log.error("%s: %s", found.action, reason)


def _words(loss: Loss, history: list[NavPoint]) -> str:
    return f"{loss.amount:.2f} of {loss.base:.2f} USD since {loss.since.isoformat()}, now {history[-1].nav:.2f}"


def _numbers(loss: Loss, history: list[NavPoint]) -> dict[str, str]:
    return {
        "lost_usd": str(loss.amount),
        "base_usd": str(loss.base),
        "base_at": loss.since.isoformat(),
        "nav_usd": str(history[-1].nav),
        "nav_at": history[-1].at.isoformat(),
    }

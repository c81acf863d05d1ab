"""R18: can it be paid for, and borne?

What goes here: cash and settled cash, and margin by the broker's preview. What does not: reading the books, when a sale
settles (`market.settlement`), and asking the broker (`execution.departure`).
"""

from __future__ import annotations

from ibkr_assets.domain.order import Mode, OrderIntent, Side
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits
from ibkr_assets.risk.finding import answer, known, show, unknown
from ibkr_assets.risk.order import is_reducing, worst_price


def check_cash(intent: OrderIntent, _facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """Cash less what open purchases may cost covers this one and a reserve; a sale needs none.

    Source: SEC 15c3-5(c)(1)(i), capital thresholds.
    """
    price = worst_price(intent)
    numbers = show(
        cash_usd=exposure.cash_usd, open_buy_cost_usd=exposure.open_buy_cost_usd, quantity=intent.quantity, price=price
    )
    got = known(
        exposure.cash_usd, exposure.open_buy_cost_usd, intent.quantity, price, limits.cash_reserve_fraction
    )  # fmt: skip
    if got is None:
        return unknown(DenialCode.CASH, numbers)
    cash, open_cost, quantity, price, reserve = got
    if intent.side is Side.SELL:
        return answer(DenialCode.CASH, numbers, "", is_passed=True)
    needed, left = quantity * price * (1 + reserve), cash - open_cost
    text = f"{needed} USD are needed with the reserve; {left} USD are free"
    return answer(DenialCode.CASH, numbers | show(needed_usd=needed, free_usd=left), text, is_passed=needed <= left)


def check_settled_cash(intent: OrderIntent, _facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """Settled cash less what open purchases may cost covers this one and a reserve; a sale needs none.

    Held against the lower of the platform's own figure and the broker's; one of them is enough, none denies. In the US
    a sale has settled one business day after it since 2024-05-28 (SEC rule 15c6-1, release 34-96930); paying for a
    purchase with the proceeds of a sale of the same shares before that is free riding (Regulation T, 12 CFR 220.8).
    Source: SEC 15c3-5(c)(1)(i), capital thresholds.
    """
    price = worst_price(intent)
    own, brokers = exposure.settled_cash_usd, exposure.broker_settled_cash_usd
    numbers = show(
        settled_cash_usd=own, broker_settled_cash_usd=brokers, open_buy_cost_usd=exposure.open_buy_cost_usd,
        quantity=intent.quantity, price=price,
    )  # fmt: skip
    figures = known(*(figure for figure in (own, brokers) if figure is not None))
    got = known(exposure.open_buy_cost_usd, intent.quantity, price, limits.cash_reserve_fraction)
    if not figures or got is None:
        return unknown(DenialCode.SETTLED_CASH, numbers)
    open_cost, quantity, price, reserve = got
    if intent.side is Side.SELL:
        return answer(DenialCode.SETTLED_CASH, numbers, "", is_passed=True)
    needed, left = quantity * price * (1 + reserve), min(figures) - open_cost
    text = f"{needed} USD are needed with the reserve; {left} USD of settled cash are free"
    numbers |= show(needed_usd=needed, free_usd=left)
    return answer(DenialCode.SETTLED_CASH, numbers, text, is_passed=needed <= left)


def wants_preview(intent: OrderIntent, exposure: Exposure) -> bool:
    """Whether the broker is asked what the order would do: not in a rehearsal, nor for what only reduces a position."""
    return intent.mode is not Mode.DRY_RUN and not is_reducing(intent, exposure)


def check_margin(intent: OrderIntent, facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """By the broker's own preview, equity with loan value covers the initial margin after the order.

    A preview that is missing denies, unless the limits say that it may be; a rehearsal and an order that only reduces
    a position need none.
    Source: SEC 15c3-5(c)(1)(i), capital thresholds.
    """
    if not wants_preview(intent, exposure):
        why = "nothing is asked in dry_run" if intent.mode is Mode.DRY_RUN else "the order only reduces a position"
        return answer(DenialCode.MARGIN, {"preview": why}, "", is_passed=True)
    preview = facts.departure.preview
    if preview is None:
        text = f"the broker did not say what the order would do: {facts.departure.preview_failure or 'not asked'}"
        numbers = {"preview": "None", "may_lack_preview": str(limits.may_lack_preview)}
        return answer(DenialCode.MARGIN, numbers, text, is_passed=limits.may_lack_preview)
    initial, equity = preview.initial_margin.after, preview.equity_after
    numbers = show(
        equity_after=equity, initial_margin_after=initial, initial_margin_change=preview.initial_margin.change,
        maintenance_margin_after=preview.maintenance_margin.after, commission_usd=preview.commission_usd,
        warnings=len(preview.warnings),
    )  # fmt: skip
    got = known(equity, initial)
    if got is None:
        return unknown(DenialCode.MARGIN, numbers)
    text = f"the initial margin would be {initial}, and equity {equity} would not cover it"
    return answer(DenialCode.MARGIN, numbers, text, is_passed=got[0] >= got[1])

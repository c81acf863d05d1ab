"""From an intent to `Approved` or `Denied`, with every number that was used.

What goes here: the two outcomes, the facts a review needs, and the loop over the rules. What does not: the rules
themselves (`risk.rules`) and where the facts come from (`execution.propose`, and the ledger for the exposure).
A fact that is missing denies.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ibkr_assets.domain.order import Mode, OrderIntent


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits in force. Money in USD; fractions of net asset value in (0, 1]."""

    allowed_symbols: frozenset[str]
    max_order_value_usd: Decimal
    max_order_nav_fraction: Decimal
    max_position_nav_fraction: Decimal
    price_collar_fraction: Decimal
    may_short: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when the review happens. `now` is the market clock; `mode` is the platform's.

    `nav_usd` is None before the first reconciliation; `killed_by` is the reason of an active kill, or None.
    """

    now: datetime
    mode: Mode
    nav_usd: Decimal | None
    killed_by: str | None


@dataclass(frozen=True, slots=True)
class Exposure:
    """Shares of one instrument on one account, read under the account's lock.

    `held` is signed and comes from fills; `open_buys` and `open_sells` are what is left of orders that hold risk,
    orders in doubt included; both are positive.
    """

    held: Decimal
    open_buys: Decimal
    open_sells: Decimal


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule said, with the numbers it used, as text so that they are stored exactly."""

    code: str
    is_passed: bool
    numbers: dict[str, str]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Approved:
    """Every rule passed."""

    intent: OrderIntent
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Denied:
    """At least one rule failed; `code` and `text` are the first that did, `findings` are all of them."""

    intent: OrderIntent
    code: str
    text: str
    findings: tuple[Finding, ...]


Decision = Approved | Denied

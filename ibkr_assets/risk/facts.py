"""What a review is given, and what one rule answers.

What goes here: values. The rules are in `risk.rules`; where the facts come from is `execution.propose`'s work, and
the ledger's for the exposure. A fact that is missing denies.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ibkr_assets.domain.order import Mode


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

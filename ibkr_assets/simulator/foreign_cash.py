"""Cash in another currency than the account's own. It never moves, and counts at a fixed rate.

It is there so that a client meets a ledger of several currencies. Cash that trades is `account`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from ibkr_assets.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class ForeignCash:
    """An amount of a currency; `rate` is USD for one unit."""

    currency: str
    amount: Decimal
    rate: Decimal

    @classmethod
    def parse(cls, text: str) -> ForeignCash:
        """Read `EUR:1000:1.0925`. Raises ConfigurationError."""
        currency, _, rest = text.partition(":")
        amount, _, rate = rest.partition(":")
        try:
            cash = cls(currency, Decimal(amount), Decimal(rate))
        except InvalidOperation:
            raise ConfigurationError(f"foreign_cash: must be like EUR:1000:1.0925, got {text!r}") from None
        is_currency = len(currency) == 3 and currency.isalpha() and currency.isupper() and currency != "USD"
        if not (is_currency and cash.amount.is_finite() and cash.rate.is_finite() and cash.rate > 0):
            raise ConfigurationError(f"foreign_cash: must be like EUR:1000:1.0925, got {text!r}")
        return cash

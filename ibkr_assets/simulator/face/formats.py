"""IBKR's spellings of numbers and times, which differ from payload to payload.

Each function is one spelling. Which payload uses which is the handlers' work. All times are market time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

_CENT = Decimal("0.01")


def millis(moment: datetime) -> int:
    """Milliseconds since the epoch."""
    return round(moment.timestamp() * 1000)


def seconds(moment: datetime) -> int:
    """Seconds since the epoch."""
    return int(moment.timestamp())


def compact_time(moment: datetime) -> str:
    """`YYMMDDHHmmss`, UTC."""
    return moment.astimezone(UTC).strftime("%y%m%d%H%M%S")


def dashed_time(moment: datetime) -> str:
    """`YYYYMMDD-HH:mm:ss`, UTC."""
    return moment.astimezone(UTC).strftime("%Y%m%d-%H:%M:%S")


def price_text(price: Decimal | None) -> str:
    """A price with at least two decimals; empty where there is none."""
    if price is None:
        return ""
    exponent = price.as_tuple().exponent
    return str(price.quantize(_CENT)) if isinstance(exponent, int) and exponent > -2 else str(price)


def average_text(price: Decimal) -> str:
    """An average price, to four decimals at most and two at least."""
    rounded = price.quantize(Decimal("0.0001")).normalize()
    return price_text(rounded)


def size_text(size: Decimal) -> str:
    """A quantity without needless zeros."""
    return f"{size.normalize():f}"


def short_volume(volume: int) -> str:
    """A volume as a person reads it: `12.4M`, `871K`, `312`."""
    if volume >= 1_000_000:
        return f"{volume / 1_000_000:.3g}M"
    return f"{volume / 1_000:.3g}K" if volume >= 1_000 else str(volume)


def money(value: Decimal) -> float:
    """A JSON number that reads back as the same amount."""
    return float(value)


def grouped(value: Decimal) -> str:
    """A rounded amount with separators: `1,006,413`."""
    return f"{value:,.0f}"


def usd_text(value: Decimal) -> str:
    """The same with its currency: `1,006,413 USD`."""
    return f"{grouped(value)} USD"

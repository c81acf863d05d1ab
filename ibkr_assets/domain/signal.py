"""What a strategy says about one instrument at one instant, and what we then want to hold."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class Direction(StrEnum):
    """Where a strategy wants to stand. `FLAT` wants no position; it is not the absence of an opinion."""

    LONG = "long"
    SHORT = "short"
    FLAT = "flat"


@dataclass(frozen=True, slots=True)
class Signal:
    """Direction and strength for one instrument, decided on bars up to and including `session_date`.

    `strength` is in [0, 1] and scales the size. `as_of` is the close of the last bar used, aware UTC.
    `feature_digest` names the feature definition and `input_digest` the exact bar versions that were read, so
    that the same signal can be computed again. `reason` is a sentence for people.
    """

    strategy_id: str
    strategy_version: int
    conid: int
    symbol: str
    session_date: date
    as_of: datetime
    direction: Direction
    strength: float
    reference_price: Decimal
    feature_digest: str
    input_digest: str
    reason: str

    def __post_init__(self) -> None:
        if not 0.0 <= self.strength <= 1.0:
            raise ValueError(f"strength must be in [0, 1], got {self.strength!r}")
        if self.as_of.tzinfo is None:
            raise ValueError(f"as_of must be aware, got {self.as_of!r}")


@dataclass(frozen=True, slots=True)
class TargetPosition:
    """What a strategy wants to hold of one instrument: signed whole lots, positive for long."""

    strategy_id: str
    conid: int
    symbol: str
    quantity: Decimal
    signal: Signal

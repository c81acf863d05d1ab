"""Rows in quarantine, what people decide on them, and what has to be computed again after that.

What goes here: values only. What does not: judging a bar (`market.validation`), and storing decisions
(`adapters.postgres.quarantine`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError

_BAR_ID = re.compile(r"(\d+)-([0-9a-z]+)-(\d{8}T\d{6}Z)-(\d+)", re.ASCII)
_ROW_ID = re.compile(r"row-(\d+)", re.ASCII)
_STAMP = "%Y%m%dT%H%M%SZ"


class Decision(StrEnum):
    """What a person says of a row in quarantine: it is right after all, or it is wrong indeed."""

    RELEASE = "release"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class BarId:
    """One version of a bar. As text: conid, size, opening in UTC to the second, version, joined by hyphens."""

    conid: int
    size: BarSize
    opened_at: datetime
    version: int

    def __str__(self) -> str:
        return f"{self.conid}-{self.size.value}-{self.opened_at.astimezone(UTC).strftime(_STAMP)}-{self.version}"


@dataclass(frozen=True, slots=True)
class RowId:
    """A fetched row that was no bar, by its number. As text: `row-17`."""

    number: int

    def __str__(self) -> str:
        return f"row-{self.number}"


def parse_id(text: str) -> BarId | RowId:
    """The id that `quarantine list` shows. Raises InputError for any other text."""
    if row := _ROW_ID.fullmatch(text):
        return RowId(int(row[1]))
    if bar := _BAR_ID.fullmatch(text):
        try:
            opened_at = datetime.strptime(bar[3], _STAMP).replace(tzinfo=UTC)
            return BarId(int(bar[1]), BarSize(bar[2]), opened_at, int(bar[4]))
        except ValueError:
            pass
    raise InputError(f"id {text!r}: expected one as `quarantine list` shows it, such as 8314-1d-20121121T143000Z-1")


@dataclass(frozen=True, slots=True)
class Case:
    """A row in quarantine. `values` are open, high, low, close and volume as text or numbers, None where missing.

    `found` is what validation said. The last decision on it, if any, has `decision`, `actor`, `reason`, `decided_at`.
    """

    id: str
    symbol: str | None
    bar_size: str
    opened_at: datetime | None
    values: dict[str, float | str | None]
    source: str
    found: str
    seen_at: datetime
    decision: str | None = None
    actor: str | None = None
    reason: str | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recompute:
    """Partitions, by asset, that rest on bars which were decided on; ascending days, each once.

    `signals` are the stored ones among them, as (session, strategy, symbol). Nothing computes them by itself, and an
    order that was decided stays as it is.
    """

    partitions: dict[str, list[date]] = field(default_factory=dict)
    signals: list[tuple[date, str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Decided:
    """Ids that changed, ids that had been decided so before, and what rests on those that changed."""

    changed: list[str]
    unchanged: list[str]
    recompute: Recompute


@dataclass(frozen=True, slots=True)
class Hold:
    """An instrument that may not be traded: why, by whom, since when."""

    symbol: str
    conid: int
    reason: str
    actor: str
    since: datetime

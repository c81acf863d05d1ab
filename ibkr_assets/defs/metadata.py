"""What a person sees in Dagster's pages: numbers, small tables, a chart.

What goes here: how a value is shown. What does not: which values (each asset's own file). A value that is missing
is shown as missing: NaN and infinity are no JSON, and never get as far.
"""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dagster as dg

from ibkr_assets.domain.errors import PlatformError

if TYPE_CHECKING:
    import pandas as pd

ABSENT = "–"
_LONGEST_TABLE = 25


def number(value: float | Decimal | None) -> dg.MetadataValue[Any]:
    """A number, or null where there is none."""
    if value is None or not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):
        return dg.MetadataValue.null()
    return dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.float(float(value))


def cell(value: object) -> str:
    """A value as text of a table: instants as ISO 8601, six significant digits, a dash for what is missing."""
    if value is None or value != value:
        return ABSENT
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ABSENT
    return str(value).replace("|", "\\|").replace("\n", " ")


def table(rows: Sequence[Mapping[str, object]], columns: Iterable[str]) -> dg.MetadataValue[Any]:
    """A markdown table of the first rows; how many more there are is said below it."""
    names = list(columns)
    if not rows:
        return dg.MetadataValue.md("none")
    lines = [f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"]
    lines += [f"| {' | '.join(cell(row.get(name)) for name in names)} |" for row in rows[:_LONGEST_TABLE]]
    if len(rows) > _LONGEST_TABLE:
        lines += ["", f"and {len(rows) - _LONGEST_TABLE} more"]
    return dg.MetadataValue.md("\n".join(lines))


def frame_table(frame: "pd.DataFrame", columns: Iterable[str]) -> dg.MetadataValue[Any]:
    """The newest rows of a frame."""
    rows = frame.tail(_LONGEST_TABLE)
    return table([{str(k): v for k, v in row.items()} for row in rows.to_dict("records")], columns)


def date_range(days: Sequence[date]) -> str:
    """The sessions of a run in one word or two."""
    if not days:
        return ABSENT
    return days[0].isoformat() if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} sessions)"


def link(text: str) -> dg.MetadataValue[Any]:
    """An address as something to click on; other text as it is."""
    return dg.MetadataValue.url(text) if text.startswith("http") else dg.MetadataValue.text(text)


def picture(png: bytes) -> dg.MetadataValue[Any]:
    """A PNG that is shown in the page itself, so that it lives as long as the event."""
    return dg.MetadataValue.md(f"![chart](data:image/png;base64,{base64.b64encode(png).decode()})")


def expected_failure(error: PlatformError) -> dg.Failure:
    """An error that was foreseen, as one that Dagster shows in one line and does not try again."""
    return dg.Failure(description=f"{type(error).__name__}: {error}", allow_retries=False)

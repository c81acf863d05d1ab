"""How a command speaks: data on stdout, words for people on stderr, one line for an error.

No command prints by other means. What a value looks like as JSON is decided here once, and that nothing a broker or a
user wrote is obeyed by a terminal.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

from ibkr_assets.domain.text import visible


def emit_json(value: object) -> None:
    """Write one JSON document to stdout. NaN and infinities are refused, never written."""
    text = json.dumps(value, default=_plain, allow_nan=False, indent=2, ensure_ascii=False)
    # Inside its strings JSON leaves characters alone that a terminal would obey; outside there are line ends only.
    sys.stdout.write("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text) + "\n")
    sys.stdout.flush()


def emit(text: str) -> None:
    """Write data as text to stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Tell a person something, on stderr."""
    sys.stderr.write("\n".join(map(visible, text.split("\n"))) + "\n")
    sys.stderr.flush()


def table(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Rows as an aligned text table; an absent or None cell is a dash."""
    cells = [columns] + [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_cell(item) for item in value)
    return visible(str(value if isinstance(value, str | int | float | dict) else _plain(value)))


def _plain(value: object) -> Any:
    """A JSON value for what JSON does not know: money as text, times as ISO 8601, sets and tuples as lists."""
    if isinstance(value, Decimal | Path):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"cannot write {type(value).__name__} as JSON")

"""The user's own notes and headlines: text files by symbol, named by the day they are of.

What goes here: which files count for a day, and reading them. What does not: making them fit for a prompt
(`strategies.outside_text`). Nothing is fetched, and what cannot be read as text is replaced, not refused.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from pathlib import Path

#: How old a note may be, how many are shown, and how much of one is read.
DAYS = 7
MOST_NOTES = 10
MOST_BYTES = 20_000
_DAY = re.compile(r"^(\d{4}-\d{2}-\d{2})")


def read_notes(directory: Path, symbol: str, opened_at: datetime) -> list[str]:
    """Texts of `<directory>/<SYMBOL>/YYYY-MM-DD*.txt` of the week up to the day of the bar, newest first.

    A file that says nothing, or a name without a day, is left out; so is a symbol that is no name of a directory.
    """
    own = directory / symbol
    if own.parent != directory or not own.is_dir():
        return []
    until = opened_at.date()
    named = [(day, path) for path in own.glob("*.txt") if (day := _day(path.name)) is not None]
    wanted = sorted(((d, p) for d, p in named if until - timedelta(days=DAYS) < d <= until), reverse=True)
    texts = [_read(path) for _, path in wanted[:MOST_NOTES]]
    return [text for text in texts if text.strip()]


def _day(name: str) -> date | None:
    found = _DAY.match(name)
    try:
        return None if found is None else date.fromisoformat(found[1])
    except ValueError:
        return None


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MOST_BYTES).decode("utf-8", errors="replace")

"""Changes of the universe in Postgres, append-only.

What goes here: the SQL. What does not: who is a member on which day (`market.universe`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.errors import InputError
from ibkr_assets.market.universe import UniverseChange, members

_CHANGES = "select id, symbol, is_member, session_date, reason, actor, changed_at from md.universe_change order by id"
_ADD = """
insert into md.universe_change (symbol, is_member, session_date, reason, actor)
values (%(symbol)s, %(is_member)s, %(day)s, %(reason)s, %(actor)s)
"""


class PostgresUniverse:
    """The universe of these configured symbols. Every method is one transaction."""

    def __init__(self, database: Database, configured: Sequence[str]) -> None:
        self._database, self._configured = database, tuple(configured)

    def changes(self) -> list[UniverseChange]:
        """All there ever were, in the order they were said."""
        with self._database.connect() as connection:
            return [UniverseChange(*row) for row in connection.execute(_CHANGES).fetchall()]

    def members(self, days: Sequence[date]) -> tuple[str, ...]:
        """All who are members on one of these days. Raises InputError when nobody is."""
        changes = self.changes()
        found = tuple(dict.fromkeys(s for day in days for s in members(self._configured, changes, day)))
        if not found:
            raise InputError(f"universe: no symbol is a member on {days[0] if days else 'no day'}")
        return found

    def change(self, symbol: str, *, is_member: bool, day: date, reason: str, actor: str) -> bool:
        """Let a symbol be a member from a day on, or be none; False where it is just so. Raises InputError."""
        if not symbol or symbol != symbol.strip().upper():
            raise InputError(f"symbol: written in capitals, got {symbol!r}")
        if not reason.strip():
            raise InputError("reason: empty; say why")
        with self._database.lock("md.universe"):
            later = [one.day for one in self.changes() if one.symbol == symbol and one.day > day]
            is_now = symbol in members(self._configured, self.changes(), day)
            if is_now is is_member and not later:
                return False
            with self._database.connect() as connection:
                values = {"symbol": symbol, "is_member": is_member, "day": day, "reason": reason, "actor": actor}
                connection.execute(_ADD, values)
        return True

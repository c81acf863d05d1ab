"""What people do from the dashboard: each act once, and each written down.

What goes here: keys that make a second press of a button the same act, and the list of acts. What does not: whether
somebody may (`dashboard.guard`). Stopping is not among them: it is written where it acts, and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.errors import InputError, LedgerConflict, PlatformError

if TYPE_CHECKING:
    from starlette.requests import Request

    from ibkr_assets.adapters.postgres.connection import Database

_BEGIN = """
insert into dash.act (key, action, subject, actor, role, session, detail)
values (%(key)s, %(action)s, %(subject)s, %(actor)s, %(role)s, %(session)s, %(detail)s)
on conflict (key) do nothing
"""
_END = "update dash.act set ended_at = clock_timestamp(), result = %s, problem = %s where key = %s"
_ACTS = """
select begun_at, ended_at, action, subject, actor, role, detail, result, problem from dash.act
order by begun_at desc limit %s
"""


def once(
    request: Request,
    key: str,
    action: str,
    subject: str,
    do: Callable[[], str],
    *,
    detail: Mapping[str, Any] | None = None,
) -> str:
    """Do it and write it down; with a key that was used before, give what came of it then.

    Raises what `do` raises; LedgerConflict while the same act is still going on, where it failed before, and for a key
    of another act.
    """
    if len(key) < 8:
        raise InputError(f"key: the form's own key is needed, got {key!r}")
    sources, session = request.app.state.sources, request.state.session
    with transaction(sources.database) as cursor:
        cursor.execute(
            _BEGIN,
            {
                "key": f"{session.id}/{key}", "action": action, "subject": subject, "actor": session.name,
                "role": session.role.name.lower(), "session": session.id, "detail": Jsonb(dict(detail or {})),
            },
        )  # fmt: skip
        is_first = cursor.rowcount == 1
        found = cursor.execute("select * from dash.act where key = %s", (f"{session.id}/{key}",)).fetchone()
    assert found is not None
    if not is_first:
        if (found["action"], found["subject"]) != (action, subject):
            raise LedgerConflict(f"this form was used to {found['action']} {found['subject']}; load the page again")
        if found["result"] is None:
            raise LedgerConflict(found["problem"] or f"{action} {subject} is being done already")
        return str(found["result"])
    try:
        result = do()
    except PlatformError as error:
        _end(sources.database, f"{session.id}/{key}", None, str(error))
        raise
    _end(sources.database, f"{session.id}/{key}", result, None)
    return result


def acts(database: Database, limit: int) -> list[dict[str, Any]]:
    """What people did, newest first."""
    with transaction(database) as cursor:
        return cursor.execute(_ACTS, (limit,)).fetchall()


def _end(database: Database, key: str, result: str | None, problem: str | None) -> None:
    with transaction(database) as cursor:
        cursor.execute(_END, (result, problem, key))

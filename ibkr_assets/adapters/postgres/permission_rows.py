"""Permission to trade as rows: withdrawing it, what an arm rests on, and what a start was permitted by.

What goes here: control rows that a process writes or reads. What does not: the decision (`execution.permission`) and
what the database refuses (the guards). There is one way to kill an account: `store_kill`.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.order import Mode
from ibkr_assets.domain.permission import Arm, PaperSession

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

#: One row a market day of the account, newest first: what went wrong on it.
_PAPER_SESSIONS = """
with day as (
  select distinct (s.market_at at time zone 'America/New_York')::date as day
    from oms.account_snapshot s join oms.account a using (account_ref) where a.mode = 'paper')
select d.day,
  array_remove(array[
    case when exists (select from oms.recon_run r where not r.is_clean
      and (r.market_at at time zone 'America/New_York')::date = d.day) then 'a reconciliation was not clean' end,
    case when exists (select from oms.recon_break b where b.blocks <> 'nothing'
      and (b.found_at at time zone 'America/New_York')::date = d.day) then 'a difference to the broker was found' end,
    case when exists (select from oms.control c where c.action like 'kill%%' and c.actor in ('submitter', 'watchdog')
      and (c.at at time zone 'America/New_York')::date = d.day) then 'the account was killed' end,
    case when exists (select from oms.permit p where p.is_simulator
      and (p.at at time zone 'America/New_York')::date = d.day) then 'the gateway was the simulated one' end], null)
  as problems
from day d where extract(isodow from d.day) < 6 order by d.day desc limit %s
"""


def store_kill(
    cursor: psycopg.Cursor[DictRow], account_ref: str, reason: str, *, actor: str, is_only_in_doubt: bool = False
) -> bool:
    """Withdraw permission to trade on the account. Returns False where `actor` did before and nobody resumed it.

    With `is_only_in_doubt` nothing is done unless an order of the account is in doubt or between send and answer.
    """
    cursor.execute(
        "insert into oms.control (scope, action, actor, session, reason) "
        "select %(scope)s, 'kill', %(actor)s, %(actor)s, %(reason)s "
        "where not exists (select from oms.control c where c.scope = %(scope)s and c.action like 'kill%%' "
        "  and c.actor = %(actor)s and not exists (select from oms.control r where r.scope = c.scope "
        "  and r.action = 'resume' and r.control_id > c.control_id)) "
        "and (not %(doubt)s or exists (select from oms.order_intent i where i.account_ref = %(ref)s "
        "  and i.state in ('SUBMITTING', 'QUESTION', 'CONFIRMING', 'UNKNOWN', 'CANCEL_UNKNOWN')))",
        {
            "scope": f"account:{account_ref}",
            "ref": account_ref,
            "actor": actor,
            "reason": reason,
            "doubt": is_only_in_doubt,
        },
    )
    return cursor.rowcount == 1


class PostgresPermission:
    """Permission of one account."""

    def __init__(self, database: Database, account_ref: str) -> None:
        self._database = database
        self._account_ref = account_ref

    def kill(self, reason: str, *, actor: str = "submitter", is_only_in_doubt: bool = False) -> bool:
        """Withdraw permission to trade on the account. Returns True when that was done now; see `store_kill`."""
        with transaction(self._database) as cursor:
            return store_kill(cursor, self._account_ref, reason, actor=actor, is_only_in_doubt=is_only_in_doubt)

    def withdraw_for_loss(self, action: str, reason: str, evidence: dict[str, str]) -> bool:
        """Withdraw permission to trade, once for the same `since` of the evidence: a resume stands after it."""
        with transaction(self._database) as cursor:
            cursor.execute(
                "insert into oms.control (scope, action, actor, session, reason, evidence) "
                "select %(scope)s, %(action)s, 'R17', 'R17', %(reason)s, %(evidence)s "
                "where not exists (select from oms.control c where c.scope = %(scope)s and c.action = %(action)s "
                "and c.actor = 'R17' and c.evidence ->> 'since' = %(since)s)",
                {
                    "scope": f"account:{self._account_ref}",
                    "action": action,
                    "reason": reason,
                    "evidence": Jsonb(evidence),
                    "since": evidence["since"],
                },
            )
            return cursor.rowcount == 1

    def is_flatten_asked_by_another(self, *, actor: str, session: str) -> bool:
        """Whether another person has asked, in the last 15 minutes, for every position to be closed."""
        with transaction(self._database) as cursor:
            row = cursor.execute(
                "select exists (select from oms.control c where c.scope = 'account:' || %(ref)s "
                "and c.evidence ->> 'flatten' = 'asked' and c.actor <> %(actor)s and c.session <> %(session)s "
                "and c.at > clock_timestamp() - interval '15 minutes' and not exists (select from oms.control r "
                "where r.scope = c.scope and r.action = 'resume' and r.control_id > c.control_id)) as is_asked",
                {"ref": self._account_ref, "actor": actor, "session": session},
            ).fetchone()
        return row is not None and bool(row["is_asked"])

    def may_drive(self) -> bool:
        """Whether the database lets this role move an order out."""
        with transaction(self._database) as cursor:
            row = cursor.execute("select oms.may_drive() as may").fetchone()
        return row is not None and bool(row["may"])

    def platform_mode(self) -> Mode | None:
        """The mode that this database serves for life; None before the first account of one."""
        with transaction(self._database) as cursor:
            row = cursor.execute(
                "select mode from oms.account where mode is not null and mode <> 'dry_run' limit 1"
            ).fetchone()
        return None if row is None else Mode(row["mode"])

    def arm(self) -> Arm | None:
        """The newest arm of the account that nothing has taken back; it may have run out."""
        with transaction(self._database) as cursor:
            row = cursor.execute(
                "select c.* from oms.control c where c.scope = 'account:' || %(ref)s and c.action = 'arm' "
                "and not exists (select from oms.control d where d.scope in (c.scope, 'global') "
                "  and d.control_id > c.control_id and d.action <> 'arm') order by c.control_id desc limit 1",
                {"ref": self._account_ref},
            ).fetchone()
        return None if row is None else _arm(row)

    def save_permit(self, mode: Mode, *, is_simulator: bool, is_granted: bool, keys: dict[str, Any]) -> None:
        """Keep what a start was permitted, or refused, by; the account's id is not among it."""
        with transaction(self._database) as cursor:
            cursor.execute(
                "insert into oms.account (account_ref) values (%s) on conflict do nothing", (self._account_ref,)
            )
            cursor.execute(
                "insert into oms.permit (account_ref, mode, is_simulator, is_granted, keys) "
                "values (%s, %s, %s, %s, %s)",
                (self._account_ref, mode, is_simulator, is_granted, Jsonb(keys)),
            )


def paper_sessions(database: Database, count: int) -> tuple[PaperSession, ...]:
    """The newest sessions of the paper account that this database serves, newest first."""
    with transaction(database) as cursor:
        rows = cursor.execute(_PAPER_SESSIONS, (count,)).fetchall()
    return tuple(PaperSession(row["day"], tuple(row["problems"])) for row in rows)


def evidence(config_sha256: str, sessions: tuple[PaperSession, ...], violations: tuple[str, ...]) -> dict[str, Any]:
    """What an arm rests on, as its row keeps it."""
    return {
        "config_sha256": config_sha256,
        "paper_sessions": [{"day": s.day.isoformat(), "problems": list(s.problems)} for s in sessions],
        "violations": list(violations),
    }


def _arm(row: DictRow) -> Arm:
    kept = row["evidence"]
    return Arm(
        actor=row["actor"],
        reason=row["reason"],
        at=row["at"],
        expires_at=row["expires_at"],
        config_sha256=kept.get("config_sha256", ""),
        paper_sessions=tuple(
            PaperSession(date.fromisoformat(s["day"]), tuple(s["problems"])) for s in kept.get("paper_sessions", [])
        ),
        violations=tuple(kept.get("violations", ["not looked at"])),
    )

"""Quarantine as people work with it: what is in it, what they decided, and which instruments are held.

What goes here: the SQL. What does not: judging (`market.validation`), storing verdicts (`adapters.postgres.verdicts`),
and computing again what rests on a released bar: it is listed, and left to whoever decides to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from psycopg.rows import dict_row

from ibkr_assets.adapters.postgres.connection import Connection, Database
from ibkr_assets.domain.errors import InputError, LedgerConflict
from ibkr_assets.market.quarantine import BarId, Case, Decided, Decision, Hold, Recompute, RowId, parse_id
from ibkr_assets.market.reasons import RELEASABLE

#: Bars that are in quarantine or were released from it, and rows that were no bars.
CASES = """
select id, symbol, bar_size, opened_at, "values", source, found, seen_at, decision, actor, reason, decided_at
from md.quarantine_case
where (%(symbol)s::text is null or symbol = %(symbol)s)
  and (%(id)s::text is null or id = %(id)s)
  and (%(is_decided)s or decision is null)
order by symbol, opened_at, id
"""
VERDICT = """
select v.verdict, v.reason, d.decision, d.found, b.known_to is null
from md.bar_verdict v
join md.bar b using (conid, bar_size, opened_at, version)
left join md.bar_decision d using (conid, bar_size, opened_at, version)
where v.conid = %(conid)s and v.bar_size = %(size)s and v.opened_at = %(opened_at)s and v.version = %(version)s
for update of v
"""
LAST_DECISION = """
select decision from md.quarantine_decision
where case when %(row)s::bigint is null
  then conid = %(conid)s and bar_size = %(size)s and opened_at = %(opened_at)s and version = %(version)s
  else rejected_row_id = %(row)s end
order by id desc limit 1
"""
DECIDE = """
insert into md.quarantine_decision
  (conid, bar_size, opened_at, version, rejected_row_id, decision, found, reason, actor)
values (%(conid)s, %(size)s, %(opened_at)s, %(version)s, %(row)s, %(decision)s, %(found)s, %(reason)s, %(actor)s)
"""
JUDGE_ANEW = """
update md.bar_verdict set verdict = %(verdict)s, reason = %(left)s, judged_at = clock_timestamp()
where conid = %(conid)s and bar_size = %(size)s and opened_at = %(opened_at)s and version = %(version)s
"""
#: A feature row rests on every earlier bar of its instrument, because averages that never forget do.
FEATURE_DAYS = """
select distinct (opened_at at time zone 'UTC')::date from research.feature
where conid = %(conid)s and bar_size = %(size)s and opened_at >= %(opened_at)s order by 1
"""
#: A signal rests on the bars it read from the first to the last, on all before them if it read stored features, and on
#: those of other instruments that its own was compared with. Of the bar's own session every signal may be new, so the
#: session counts whenever it was decided on at all.
SIGNALS = """
select s.session_date, s.strategy_id, s.symbol
from research.current_signal s
left join research.signal_basis n using (signal_id)
where s.session_date >= (%(opened_at)s at time zone 'UTC')::date and (
  s.conid = %(conid)s and (
    n.signal_id is null or n.shown <> '{}'::jsonb or n.bar_size = %(size)s and n.opened_at[1] <= %(opened_at)s)
  or n.comparison in (
    select c.sha256 from research.comparison_bars b join research.comparison c using (sha256)
    where b.conid = %(conid)s and c.bar_size = %(size)s and b.opened_at[1] <= %(opened_at)s))
order by 1, 2, 3
"""
DECIDED_SESSION = """
select exists (select from research.signal where session_date = (%(opened_at)s at time zone 'UTC')::date)
"""
HOLDS = """
select i.symbol, i.conid, c.reason, c.actor, c.at
from oms.control c
join md.instrument i on c.scope = 'conid:' || i.conid
where c.action = 'disarm' and not exists (
  select from oms.control r where r.scope = c.scope and r.action = 'resume' and r.control_id > c.control_id)
order by i.symbol, c.control_id
"""
CONTROL = "insert into oms.control (scope, action, actor, session, reason) values ('conid:' || %s, %s, %s, %s, %s)"


class PostgresQuarantine:
    """What validation kept back. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def cases(self, *, symbol: str | None = None, is_decided: bool = False) -> list[Case]:
        """Rows that wait for a decision, by symbol and time; with `is_decided` also those that have one."""
        return self._cases(symbol=symbol, id=None, is_decided=is_decided)

    def case(self, identity: str) -> Case:
        """One row by its id. Raises InputError when there is none."""
        found = self._cases(symbol=None, id=str(parse_id(identity)), is_decided=True)
        if not found:
            raise InputError(f"id {identity}: not in quarantine, or corrected since")
        return found[0]

    def decide(
        self,
        identities: Sequence[str],
        decision: Decision,
        *,
        actor: str,
        reason: str,
        seen: Mapping[str, str | None] = MappingProxyType({}),
    ) -> Decided:
        """Decide on all of these or, when one cannot be decided on, on none.

        A released bar counts as validated and is not judged again; a rejected one stays in quarantine. The last
        decision holds. `seen` is, by id, the decision that somebody saw before (None: none). Raises InputError naming
        an id that is not in quarantine or cannot be released, and for a missing reason; LedgerConflict where another
        decision came since.
        """
        if not reason.strip():
            raise InputError("reason: empty; say why")
        wanted = [parse_id(identity) for identity in dict.fromkeys(identities)]
        changed: list[BarId | RowId] = []
        with self._database.connect() as connection:
            for one in wanted:
                arguments = {
                    "conid": None, "size": None, "opened_at": None, "version": None, "row": None,
                    "decision": decision.value, "reason": reason, "actor": actor,
                }  # fmt: skip
                _check_seen(connection, one, seen)
                if isinstance(one, RowId):
                    is_new = _decide_row(connection, one, arguments)
                else:
                    is_new = _decide_bar(connection, one, arguments)
                if is_new:
                    changed.append(one)
            moved = [one for one in changed if isinstance(one, BarId) and _is_moved(connection, one, decision)]
            recompute = _recompute(connection, moved)
        texts = [str(one) for one in changed]
        return Decided(texts, [str(one) for one in wanted if str(one) not in texts], recompute)

    def rests_on(self, identity: str) -> Recompute:
        """What would have to be computed again if the bar came in or went out; nothing for a row that is no bar."""
        one = parse_id(identity)
        with self._database.connect() as connection:
            return _recompute(connection, [one] if isinstance(one, BarId) else [])

    def holds(self) -> list[Hold]:
        """Instruments that may not be traded, with every reason that stands."""
        with self._database.connect() as connection:
            return [Hold(*row) for row in connection.execute(HOLDS).fetchall()]

    def hold(self, conid: int, *, actor: str, reason: str, session: str = "") -> None:
        """Keep an instrument from trading until it is lifted; `session` is the login that asks, where there is one."""
        with self._database.connect() as connection:
            connection.execute(CONTROL, (conid, "disarm", actor, session, reason))

    def lift(self, conid: int, *, actor: str, reason: str, session: str = "") -> int:
        """Let an instrument trade again; returns how many reasons stood. Raises InputError when none did.

        What the database asks before it lets trading resume, it asks here too.
        """
        with self._database.connect() as connection:
            standing = [hold for hold in (Hold(*row) for row in connection.execute(HOLDS)) if hold.conid == conid]
            if not standing:
                raise InputError(f"conid {conid}: not held")
            connection.execute(CONTROL, (conid, "resume", actor, session, reason))
        return len(standing)

    def _cases(self, **arguments: Any) -> list[Case]:
        with self._database.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return [Case(**row) for row in cursor.execute(CASES, arguments).fetchall()]


def _check_seen(connection: Connection, one: BarId | RowId, seen: Mapping[str, str | None]) -> None:
    """Nobody else decides on it until this transaction ends; raises LedgerConflict where somebody has since."""
    connection.execute("select pg_advisory_xact_lock(hashtextextended('quarantine ' || %s, 0))", (str(one),))
    if str(one) not in seen:
        return
    bar = one if isinstance(one, BarId) else None
    row = connection.execute(
        LAST_DECISION,
        {
            "conid": bar and bar.conid, "size": bar and bar.size.value, "opened_at": bar and bar.opened_at,
            "version": bar and bar.version, "row": one.number if isinstance(one, RowId) else None,
        },
    ).fetchone()  # fmt: skip
    now = None if row is None else row[0]
    if now != seen[str(one)]:
        raise LedgerConflict(f"id {one}: is {now or 'undecided'} now, the page showed {seen[str(one)] or 'undecided'}")


def _decide_bar(connection: Connection, bar: BarId, arguments: dict[str, Any]) -> bool:
    """Whether the decision was new."""
    key = {"conid": bar.conid, "size": bar.size.value, "opened_at": bar.opened_at, "version": bar.version}
    arguments |= key
    row = connection.execute(VERDICT, key).fetchone()
    if row is None:
        raise InputError(f"id {bar}: no such bar was judged")
    verdict, found, before, found_before, is_current = row
    if not is_current:
        raise InputError(f"id {bar}: corrected since; a newer version has its own verdict")
    if verdict == "accepted" and before is None:
        raise InputError(f"id {bar}: not in quarantine")
    if before == arguments["decision"]:
        return False
    arguments["found"] = found_before or found
    is_release = arguments["decision"] == Decision.RELEASE
    if is_release and arguments["found"] not in RELEASABLE:
        raise InputError(
            f"id {bar}: {arguments['found']}; such a bar is wrong in itself, so import the right one instead"
        )
    connection.execute(DECIDE, arguments)
    if is_release or verdict == "accepted":
        left = "" if is_release else arguments["found"]
        connection.execute(JUDGE_ANEW, {**key, "verdict": "accepted" if is_release else "quarantined", "left": left})
    return True


def _decide_row(connection: Connection, row: RowId, arguments: dict[str, Any]) -> bool:
    """Whether the decision was new."""
    found = connection.execute(
        "select r.reason, exists (select from md.quarantine_decision d where d.rejected_row_id = r.id) "
        "from md.rejected_row r where r.id = %s",
        (row.number,),
    ).fetchone()
    if found is None:
        raise InputError(f"id {row}: no such row")
    if arguments["decision"] == Decision.RELEASE:
        raise InputError(f"id {row}: {found[0]}; it is no bar, so import the right one instead")
    if found[1]:
        return False
    connection.execute(DECIDE, arguments | {"row": row.number, "found": found[0]})
    return True


def _is_moved(connection: Connection, bar: BarId, decision: Decision) -> bool:
    """Whether the bar came into the validated ones or left them: one that is rejected at once stays where it is."""
    earlier = connection.execute(
        "select count(*) from md.quarantine_decision "
        "where conid = %s and bar_size = %s and opened_at = %s and version = %s",
        (bar.conid, bar.size.value, bar.opened_at, bar.version),
    ).fetchone()
    return decision == Decision.RELEASE or (earlier is not None and earlier[0] > 1)


def _recompute(connection: Connection, bars: Sequence[BarId]) -> Recompute:
    days: dict[str, set[Any]] = {"validated_bars": set(), "enriched_features": set(), "signals": set()}
    signals: set[tuple[Any, ...]] = set()
    for bar in bars:
        key = {"conid": bar.conid, "size": bar.size.value, "opened_at": bar.opened_at}
        own = bar.opened_at.date()
        days["validated_bars"].add(own)
        days["enriched_features"] |= {own, *(day for (day,) in connection.execute(FEATURE_DAYS, key))}
        rest_on_it = connection.execute(SIGNALS, key).fetchall()
        signals |= {(day, strategy, symbol) for day, strategy, symbol in rest_on_it}
        days["signals"] |= {row[0] for row in rest_on_it}
        decided = connection.execute(DECIDED_SESSION, key).fetchone()
        if decided is not None and decided[0]:
            days["signals"].add(own)
    return Recompute({asset: sorted(found) for asset, found in days.items() if found}, sorted(signals))

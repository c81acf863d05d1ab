"""What the order ledger gives rise to: alerts of withdrawn permission, doubts, differences, denials, a lost session.

What goes here: SQL from rows that are there anyway to alerts, so that no process that handles orders has to tell
anybody, and none can forget to. What does not: what the watchdog finds (`execution.watchdog`). Each row gives one
alert, however often it is looked at: by its own number in the alert's subject, or by a position in the chain of events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibkr_assets.adapters.postgres.transactions import transaction

if TYPE_CHECKING:
    from decimal import Decimal

    from ibkr_assets.adapters.postgres.connection import Database

_BY = "ledger"
#: Of the watchdog's own kills it has raised an alert itself. Prices that look like a corporate action hold their
#: instrument wherever they were found, and that is told by its own name. A number may be committed later than a higher
#: one, so rows are told apart by what there is an alert of, never by the highest number seen.
_CONTROLS = """
insert into oms.alert (account_ref, severity, kind, subject, text, raised_by, payload)
select %(account)s, k.severity, k.code, '#' || c.control_id || ' ' || c.scope,
  c.actor || ' withdrew permission to trade (' || c.action || ' of ' || c.scope || '): ' || c.reason, %(by)s,
  jsonb_build_object('control_id', c.control_id, 'scope', c.scope, 'action', c.action)
from oms.control c
join oms.alert_code k on k.code = case
  when c.actor = 'validation' and c.reason like 'split_suspect:%%' then 'corporate_action'
  when c.action = 'disarm' then 'disarmed' else 'killed' end
where (c.action = 'disarm' or c.action like 'kill%%') and c.actor <> 'watchdog'
  and (c.scope = 'account:' || %(account)s or c.scope not like 'account:%%')
  and c.control_id > (select position from oms.alert_source where source = 'control')
  and not exists (select from oms.alert a where a.account_ref = %(account)s and a.kind = k.code
                    and a.subject = '#' || c.control_id || ' ' || c.scope)
on conflict do nothing
"""
_RESUMED = """
update oms.alert a set resolved_at = clock_timestamp()
where a.account_ref = %(account)s and a.kind in ('killed', 'disarmed', 'corporate_action') and a.resolved_at is null
  and exists (select from oms.control r
    where r.scope = coalesce(a.payload ->> 'scope', 'account:' || a.account_ref)
      and (r.action = 'resume' or (r.action = 'arm' and a.kind = 'disarmed'))
      and case when a.payload ? 'control_id' then r.control_id > (a.payload ->> 'control_id')::bigint
               else r.at > a.raised_at end)
"""
_BREAKS = """
insert into oms.alert (account_ref, severity, kind, subject, text, raised_by, payload)
select b.account_ref, k.severity, k.code, '#' || b.break_id || ' ' || b.kind || ' ' || b.subject,
  'books and broker differ: ' || b.kind || ' of ' || b.subject || case b.blocks when 'account' then
    '; nothing new is sent on the account' when 'conid' then '; nothing new is sent on the instrument' else '' end,
  %(by)s, jsonb_build_object('break_id', b.break_id, 'kind', b.kind, 'blocks', b.blocks)
from oms.recon_break b
join oms.alert_code k on k.code = case b.blocks when 'account' then 'account_blocked' else 'break_found' end
where b.account_ref = %(account)s
  and b.break_id > (select position from oms.alert_source where source = 'recon_break')
  and not exists (select from oms.alert a where a.account_ref = b.account_ref and a.kind = k.code
                    and a.subject = '#' || b.break_id || ' ' || b.kind || ' ' || b.subject)
on conflict do nothing
"""
_BREAKS_OVER = """
update oms.alert a set resolved_at = clock_timestamp()
from oms.recon_break b
where a.account_ref = %(account)s and a.kind in ('account_blocked', 'break_found') and a.resolved_at is null
  and b.break_id = (a.payload ->> 'break_id')::bigint and b.resolved_at is not null
"""
#: Events are one chain, so a position in it is enough, and moves in the same transaction.
_DOUBTS = """
with news as (
  select e.seq, e.to_state, e.cause, i.client_order_id, i.side, i.quantity, i.symbol, i.account_ref
  from oms.order_event e join oms.order_intent i using (intent_id)
  where e.seq > (select position from oms.alert_source where source = 'order_event')
    and e.seq <= %(upto)s and e.to_state in ('UNKNOWN', 'CANCEL_UNKNOWN') and i.account_ref = %(account)s)
insert into oms.alert (account_ref, severity, kind, subject, text, raised_by, payload)
select n.account_ref, k.severity, k.code, n.client_order_id,
  n.client_order_id || ' (' || lower(n.side) || ' ' || trim_scale(n.quantity) || ' ' || n.symbol || ') is in doubt: '
    || n.cause, %(by)s, jsonb_build_object('state', n.to_state, 'seq', n.seq)
from news n join oms.alert_code k on k.code = 'order_unknown' order by n.seq
on conflict do nothing
"""
_DOUBTS_OVER = """
update oms.alert a set resolved_at = clock_timestamp()
where a.account_ref = %(account)s and a.kind = 'order_unknown' and a.resolved_at is null
  and exists (select from oms.order_intent i where i.client_order_id = a.subject
                and i.state not in ('UNKNOWN', 'CANCEL_UNKNOWN'))
"""
_DENIALS = """
insert into oms.alert (account_ref, severity, kind, subject, text, raised_by, payload)
select %(account)s, k.severity, k.code, f.code || ' ' || f.day, 'orders are denied by ' || f.code || ' on ' || f.day
    || '; the first: ' || f.text, %(by)s, jsonb_build_object('rule', f.code, 'day', f.day)
from (select distinct on (d.code, (d.decided_at at time zone 'UTC')::date) d.code, d.text,
        (d.decided_at at time zone 'UTC')::date as day
      from oms.risk_decision d join oms.order_intent i using (intent_id)
      where i.account_ref = %(account)s and not d.is_approved and d.decided_at > clock_timestamp() - interval '1 day'
      order by d.code, (d.decided_at at time zone 'UTC')::date, d.decided_at) f
join oms.alert_code k on k.code = 'orders_denied'
where not exists (select from oms.alert a where a.account_ref = %(account)s and a.kind = k.code
                    and a.subject = f.code || ' ' || f.day)
on conflict do nothing
"""
_DENIALS_OVER = """
update oms.alert set resolved_at = clock_timestamp()
where account_ref = %(account)s and kind = 'orders_denied' and resolved_at is null
  and payload ->> 'day' < ((clock_timestamp() at time zone 'UTC')::date)::text
"""
#: A submitter that beats says what it waits for; one that does not beat is the watchdog's to tell.
_SESSION = """
select h.status, h.detail, extract(epoch from clock_timestamp() - h.at) as age_s
from oms.heartbeat h where h.account_ref = %(account)s
"""


#: A UTC day, as budgets count it.
_SPENT = """
select strategy_id, sum(cost_usd + in_flight_usd) as usd from llm.spend
where day = (clock_timestamp() at time zone 'UTC')::date group by strategy_id order by strategy_id
"""


class PostgresAlertSources:
    """What one account's ledger gives rise to."""

    def __init__(self, database: Database, account_ref: str) -> None:
        self._database = database
        self._account_ref = account_ref

    def collect(self) -> None:
        """An alert of everything new, and an end to what is over. Raises Unavailable and LedgerConflict."""
        values = {"account": self._account_ref, "by": _BY}
        with transaction(self._database) as cursor:
            cursor.execute("insert into oms.account (account_ref) values (%(account)s) on conflict do nothing", values)
            for statement in (_CONTROLS, _RESUMED, _BREAKS, _BREAKS_OVER, _DENIALS, _DENIALS_OVER):
                cursor.execute(statement, values)
        with transaction(self._database) as cursor:
            newest = cursor.execute("select coalesce(max(seq), 0) as seq from oms.order_event").fetchone()
            assert newest is not None
            cursor.execute(_DOUBTS, values | {"upto": newest["seq"]})
            cursor.execute(
                "update oms.alert_source set position = %s where source = 'order_event' and position < %s",
                (newest["seq"], newest["seq"]),
            )
            cursor.execute(_DOUBTS_OVER, values)

    def spent_today(self) -> dict[str, Decimal]:
        """What language models cost today, with what is set aside for requests under way, in USD by strategy."""
        with transaction(self._database) as cursor:
            return {row["strategy_id"]: row["usd"] for row in cursor.execute(_SPENT).fetchall()}

    def session(self) -> tuple[str, str, float] | None:
        """What the submitter last said: its status, why, and how many seconds ago; None where there was never one."""
        with transaction(self._database) as cursor:
            row = cursor.execute(_SESSION, {"account": self._account_ref}).fetchone()
        return None if row is None else (row["status"], row["detail"], float(row["age_s"]))

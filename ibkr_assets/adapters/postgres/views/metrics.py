"""The platform in numbers for a scrape: counted from the tables each time, so that a restart forgets nothing.

What goes here: SQL. What does not: names and the text format (`dashboard.metrics`). No amount of the account's money,
no account id: whoever may scrape need not know what somebody owns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.transactions import transaction

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

#: Upper ends of the classes of answer times, seconds; orders are bounded at 15.
LATENCY_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)

_COUNTS = {
    "orders": """
select s.name as state, count(i.intent_id) as n from oms.state s
left join oms.order_intent i on i.state = s.name and i.account_ref = %(ref)s group by s.name""",
    "denials": """
select d.code as rule, count(*) as n from oms.risk_decision d join oms.order_intent i using (intent_id)
where i.account_ref = %(ref)s and not d.is_approved group by d.code""",
    "calls": """
select w.kind, coalesce(w.outcome, 'open') as outcome, count(*) as n from oms.wire_call w
join oms.order_intent i using (intent_id) where i.account_ref = %(ref)s group by 1, 2""",
    "alerts_raised": """
select k.code, k.severity, count(a.alert_id) as n, count(a.alert_id) filter (where a.resolved_at is null) as open
from oms.alert_code k left join oms.alert a on a.kind = k.code and a.account_ref = %(ref)s group by 1, 2""",
    "channels": """
select c.channel, c.failing_since is not null as is_failing,
  (select count(*) from oms.alert_delivery d where d.account_ref = c.account_ref and d.channel = c.channel
     and d.delivered_at is null and d.dropped_at is null and d.due_at <= clock_timestamp()) as waiting,
  (select count(*) from oms.alert_try t where t.account_ref = c.account_ref and t.channel = c.channel
     and not t.is_delivered) as failures
from oms.alert_channel c where c.account_ref = %(ref)s and c.is_active""",
    "bars": """
select b.bar_size, max(b.opened_at) as newest
from md.bar b where b.known_to is null and b.opened_at > clock_timestamp() - interval '40 years'
group by b.bar_size""",
    "gaps": "select bar_size, count(*) as n from md.gap where closed_at is null group by bar_size",
    "model": """
select strategy_id, outcome, count(*) as n, sum(cost_usd) as usd, sum(coalesce(prompt_tokens, 0)) as prompt,
  sum(coalesce(completion_tokens, 0)) as completion from llm.call group by 1, 2""",
}
_LATENCY = """
select w.kind, width_bucket(extract(epoch from w.done_at - w.sent_at), %(ends)s::numeric[]) as class, count(*) as n,
  sum(extract(epoch from w.done_at - w.sent_at)) as seconds
from oms.wire_call w join oms.order_intent i using (intent_id)
where i.account_ref = %(ref)s and w.done_at is not null and w.outcome <> 'not_sent' group by 1, 2
"""
_NOW = """
select extract(epoch from clock_timestamp()) as now,
  extract(epoch from clock_timestamp() - h.at) as submitter_age_s, h.status as submitter_status, h.busy_s,
  extract(epoch from h.market_at) as market_at,
  extract(epoch from clock_timestamp() - w.at) as watchdog_age_s,
  extract(epoch from clock_timestamp() - n.at) as sender_age_s,
  extract(epoch from n.heartbeat_at) as heartbeat_at,
  extract(epoch from clock_timestamp() - l.renewed_at) as lease_age_s, l.epoch as lease_epoch,
  oms.blocked_by(r.ref, '', 0) is not null as is_stopped,
  (oms.active_arm(r.ref, false)).control_id is not null as is_armed,
  (select count(*) from oms.order_intent i where i.account_ref = r.ref
     and i.state in ('UNKNOWN', 'CANCEL_UNKNOWN')) as unknown,
  (select extract(epoch from clock_timestamp() - min(i.unknown_since)) from oms.order_intent i
     where i.account_ref = r.ref and i.unknown_since is not null) as unknown_age_s,
  (select count(*) from oms.recon_break b where b.account_ref = r.ref and b.resolved_at is null) as breaks,
  (select extract(epoch from clock_timestamp() - max(s.recorded_at)) from oms.account_snapshot s
     where s.account_ref = r.ref) as compared_age_s,
  (select count(*) from oms.execution_current e where e.account_ref = r.ref and e.quantity > 0) as fills
from (select %(ref)s::text as ref) r
left join oms.heartbeat h on h.account_ref = r.ref
left join oms.watchdog w on w.account_ref = r.ref
left join oms.alert_sender n on n.account_ref = r.ref
left join oms.writer_lease l on l.account_ref = r.ref
"""


def read_metrics(database: Database, account_ref: str) -> dict[str, Any]:
    """Lists of rows by name, `latency` by kind and class, and `now`, one row. Raises Unavailable."""
    values = {"ref": account_ref, "ends": list(LATENCY_S)}
    with transaction(database) as cursor:
        found: dict[str, Any] = {name: cursor.execute(sql, values).fetchall() for name, sql in _COUNTS.items()}
        found["latency"] = cursor.execute(_LATENCY, values).fetchall()
        found["now"] = cursor.execute(_NOW, values).fetchone()
    return found


def read_health(database: Database, account_ref: str) -> dict[str, Any]:
    """Who is alive, by age in seconds; one row of what `read_metrics` calls `now`. Raises Unavailable."""
    with transaction(database) as cursor:
        row = cursor.execute(_NOW, {"ref": account_ref}).fetchone()
    assert row is not None
    return row

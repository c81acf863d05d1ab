"""The statements that follow an order back to its bars. What is made of their rows is in `lineage`."""

from __future__ import annotations

FIND = """
select i.intent_id::text as intent_id, i.client_order_id from oms.order_intent i
where %(order)s in (i.client_order_id, i.decision_key, i.broker_order_id, i.intent_id::text)
   or i.intent_id in (select e.intent_id from oms.execution e where %(order)s in (e.execution_id, e.execution_root))
order by i.created_at, i.intent_id
"""
#: Rows of one intent, oldest first, by the name they have in the document.
OF_INTENT = {
    "fills": "select execution_id, revision, broker_order_id, side, quantity, price, commission, executed_at, seen_at "
    "from oms.execution where intent_id = %(intent)s order by executed_at, execution_root, revision",
    "timeline": "select seq, at, from_state, to_state, version, epoch, cause, detail, sha256 "
    "from oms.order_event where intent_id = %(intent)s order by seq",
    "calls": "select call_id, kind, send_number, epoch, sent_at, market_at, request, request_sha256, outcome, "
    "http_status, answer, done_at from oms.wire_call where intent_id = %(intent)s order by call_id",
    "questions": "select reply_id, message_ids, texts, asked_at, decision, decision_reason, decided_at "
    "from oms.question where intent_id = %(intent)s order by asked_at, reply_id",
    "observations": "select observed_at, gateway_session, is_ready, is_snapshot, is_primed, is_position_unchanged, "
    "orders_seen, trades_seen from oms.absence_observation where intent_id = %(intent)s order by observation_id",
}
ORDER = "select * from oms.order_intent where intent_id = %(intent)s"
RISK = """
select d.is_approved, d.code, d.text, d.findings, d.facts, d.exposure, d.limits_sha256, v.limits, d.decided_at,
  d.market_at, d.version_sha256,
  (select jsonb_build_object('quantity', r.quantity::text, 'notional_usd', r.notional_usd::text,
     'reserved_at', r.reserved_at, 'released_at', r.released_at)
   from oms.reservation r where r.intent_id = d.intent_id) as reservation
from oms.risk_decision d left join oms.limits_version v on v.sha256 = d.limits_sha256
where d.intent_id = %(intent)s and d.heard = %(heard)s
"""
PLAN = """
select p.* from oms.plan p join oms.order_intent i using (account_ref, mode, strategy_id, signal_bar_end, conid)
where i.intent_id = %(intent)s and i.created_by <> 'intents add'
"""
#: A plan from before `signal_id` was kept has its signal by content.
SIGNAL = """
select s.* from research.signal s
where s.signal_id = coalesce(%(signal_id)s, (
  select o.signal_id from research.signal o
  where o.strategy_id = %(strategy_id)s and o.conid = %(conid)s and o.as_of = %(signal_bar_end)s
    and o.input_digest = %(input_digest)s and o.direction = %(direction)s
  order by o.revision desc limit 1))
"""
LLM_CALLS = """
select call_id, at, sample, attempt, model_asked, model_answered, provider_id, endpoint, messages, settings, response,
  prompt_tokens, completion_tokens, input_usd_per_million, output_usd_per_million, price_source, price_as_of, cost_usd,
  is_estimate, latency_s, key, template_sha256, picture_sha256
from llm.call where call_id = any(%(calls)s) order by sample, call_id
"""
BASIS = "select * from research.signal_basis where signal_id = %(signal_id)s"
#: Each instrument that the strategy compared, with how many bars of it.
COMPARISON = """
select c.columns, b.conid, i.symbol, cardinality(b.versions) as bars, b.opened_at[1] as first,
  b.opened_at[cardinality(b.opened_at)] as last, b.actions
from research.comparison c join research.comparison_bars b using (sha256) left join md.instrument i using (conid)
where c.sha256 = %(comparison)s order by b.conid
"""
COMPARED_BARS = """
select conid, opened_at, versions from research.comparison_bars where sha256 = %(comparison)s order by conid
"""
STRATEGY = "select * from research.strategy where id = %(id)s and version = %(version)s"
VERSION = "select * from platform.version where sha256 = any(%(names)s)"
#: The bar versions that are named, in this order; null where one is not there any more.
BARS = """
select w.conid, i.symbol, w.opened_at, w.version, b.open, b.high, b.low, b.close, b.volume, b.source, b.known_from,
  b.known_to, encode(b.row_sha, 'hex') as row_sha, v.verdict
from unnest(%(conids)s::bigint[], %(opened_at)s::timestamptz[], %(versions)s::integer[]) with ordinality
  as w (conid, opened_at, version, place)
left join md.instrument i using (conid)
left join md.bar b on b.conid = w.conid and b.bar_size = %(size)s and b.opened_at = w.opened_at
  and b.version = w.version
left join md.bar_verdict v on v.conid = w.conid and v.bar_size = %(size)s and v.opened_at = w.opened_at
  and v.version = w.version
order by w.place
"""
FEATURE_BARS = """
select l.sha256, l.conid, l.opened_us, l.versions
from research.feature_input f, unnest(f.lists) with ordinality as n (sha256, place)
join research.bar_list l using (sha256)
where f.sha256 = %(input)s order by n.place
"""

"""Bars, features and signals as pages show them, and how far each stage of the pipeline is.

What goes here: reading for people. What does not: loading bars to compute on (`bars`), and Dagster's own record of
runs and checks, which its webserver has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.transactions import transaction

if TYPE_CHECKING:
    from datetime import date, datetime

    from ibkr_assets.adapters.postgres.connection import Database

# By instrument through the keys: counting or sorting all bars would take longer the more there are.
_STAGES = """
with newest as (
  select i.conid, b.opened_at, b.known_from, v.judged_at, v.verdict, f.opened_at as computed_for
  from md.instrument i
  left join lateral (select * from md.bar b where b.conid = i.conid and b.bar_size = '1d' and b.known_to is null
    order by b.opened_at desc limit 1) b on true
  left join md.bar_verdict v on v.conid = b.conid and v.bar_size = b.bar_size and v.opened_at = b.opened_at
    and v.version = b.version
  left join lateral (select f.opened_at from research.feature f where f.conid = i.conid and f.bar_size = '1d'
    and f.opened_at = b.opened_at limit 1) f on true)
select 'raw_bars' as stage, null::timestamptz as at, max(opened_at) as newest,
  count(*) filter (where opened_at = (select max(opened_at) from newest)) as covered from newest
union all select 'validated_bars', max(judged_at), max(opened_at) filter (where verdict = 'accepted'),
  count(*) filter (where verdict = 'accepted' and opened_at = (select max(opened_at) from newest)) from newest
union all select 'enriched_features', null, max(computed_for),
  count(*) filter (where computed_for = (select max(opened_at) from newest)) from newest
union all select 'signals', max(made_at), max(as_of), count(distinct conid) from research.signal
  where session_date = (select max(session_date) from research.signal)
union all select 'orders', max(planned_at), max(signal_bar_end), count(distinct conid) from oms.plan
  where session_date = (select max(session_date) from oms.plan)
"""
_SIGNALS = """
select s.signal_id, s.strategy_id, s.strategy_version, s.conid, s.symbol, s.session_date, s.revision, s.as_of,
  s.direction, s.strength, s.reference_price, s.reason, s.made_at, s.dagster_run_id, s.mlflow_run_id,
  p.planned_at is not null as is_planned,
  (select coalesce(jsonb_agg(jsonb_build_object('order', i.client_order_id, 'side', i.side, 'quantity', i.quantity,
     'state', i.state, 'denied_by', d.code, 'why', d.text) order by i.leg), '[]')
   from oms.order_intent i left join oms.risk_decision d on d.intent_id = i.intent_id and not d.is_approved
   where i.strategy_id = s.strategy_id and i.conid = s.conid and i.signal_bar_end = s.as_of
     and i.account_ref = %(ref)s) as orders
from research.current_signal s
left join oms.plan p on p.strategy_id = s.strategy_id and p.conid = s.conid and p.signal_bar_end = s.as_of
  and p.account_ref = %(ref)s
where (%(strategy)s::text is null or s.strategy_id = %(strategy)s)
  and (%(symbol)s::text is null or s.symbol = %(symbol)s)
  and (%(before)s::bigint is null or s.signal_id < %(before)s)
order by s.signal_id desc limit %(limit)s
"""
_INSTRUMENTS = """
select i.conid, i.symbol, max(b.opened_at) as newest from md.instrument i join md.bar b using (conid)
where b.known_to is null and b.bar_size = '1d' group by i.conid, i.symbol order by i.symbol
"""
_BARS = """
select * from (
  select b.opened_at, b.open, b.high, b.low, b.close, b.volume, f."values", s.names
  from md.bar b
  join md.bar_verdict v using (conid, bar_size, opened_at, version)
  left join lateral (select * from research.feature_set order by created_at desc limit 1) s on true
  left join research.feature f on f.conid = b.conid and f.bar_size = b.bar_size and f.opened_at = b.opened_at
    and f.feature_digest = s.feature_digest
  where b.conid = %(conid)s and b.bar_size = '1d' and b.known_to is null and v.verdict = 'accepted'
  order by b.opened_at desc limit %(limit)s) newest
order by opened_at
"""
# What a strategy says at every bar says little; that it says something else than at the bar before is worth a mark.
_TURNS = """
select as_of, strategy_id, direction from (
  select s.as_of, s.strategy_id, s.direction,
    lag(s.direction) over (partition by s.strategy_id order by s.as_of) as before
  from research.current_signal s where s.conid = %(conid)s) said
where before is distinct from direction and as_of >= %(since)s
order by as_of, strategy_id
"""
_SESSIONS = "select distinct session_date from research.signal order by session_date desc limit %s"


def stages(database: Database) -> list[dict[str, Any]]:
    """The five stages in order: when each last wrote (None: not kept), its newest bar, and how many symbols have it."""
    with transaction(database) as cursor:
        return cursor.execute(_STAGES).fetchall()


def list_signals(
    database: Database,
    account_ref: str,
    *,
    strategy: str | None = None,
    symbol: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """Signals in force, newest first, each with the orders that became of it."""
    values = {"ref": account_ref, "strategy": strategy, "symbol": symbol, "before": before, "limit": limit}
    with transaction(database) as cursor:
        return cursor.execute(_SIGNALS, values).fetchall()


def list_instruments(database: Database) -> list[dict[str, Any]]:
    """Instruments with daily bars, by symbol."""
    with transaction(database) as cursor:
        return cursor.execute(_INSTRUMENTS).fetchall()


def list_bars(database: Database, conid: int, limit: int) -> list[dict[str, Any]]:
    """The newest accepted daily bars, oldest first, with their features by name."""
    with transaction(database) as cursor:
        rows = cursor.execute(_BARS, {"conid": conid, "limit": limit}).fetchall()
    for row in rows:
        names, values = row.pop("names") or [], row.pop("values") or []
        row["features"] = dict(zip(names, values, strict=True)) if values else {}
    return rows


def list_turns(database: Database, conid: int, since: datetime) -> list[dict[str, Any]]:
    """Signals of an instrument that say another direction than their strategy's one before, oldest first."""
    with transaction(database) as cursor:
        return cursor.execute(_TURNS, {"conid": conid, "since": since}).fetchall()


def sessions_with_signals(database: Database, limit: int) -> list[date]:
    """The newest sessions that have signals."""
    with transaction(database) as cursor:
        return [row["session_date"] for row in cursor.execute(_SESSIONS, (limit,)).fetchall()]

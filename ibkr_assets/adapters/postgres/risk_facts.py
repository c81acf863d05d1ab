"""What the orders of one account share, summed up from the ledger's own rows under the account's lock.

What goes here: exposure, cash, counts and sums of the day, losses, and whether the books agree. What does not: what is
known of the order alone (`circumstances`), and any limit. Nothing is kept beside the rows, so nothing can drift from
them; whoever reads this holds the lock until what was decided on it is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import psycopg
from psycopg.rows import DictRow

from ibkr_assets.adapters.postgres.batch import Statement, fetch_together
from ibkr_assets.adapters.postgres.losses import LOSSES, parse_losses
from ibkr_assets.domain.order import Mode, OrderIntent
from ibkr_assets.market.settlement import unsettled_since
from ibkr_assets.risk.facts import Exposure, Limits

#: A day of the limits is one of the exchange.
DAY_ZONE = ZoneInfo("America/New_York")
ZERO = Decimal(0)

#: Rehearsals count against other rehearsals only. One statement, so that a fill that is booked in between is never in
#: both an order and a holding, or in neither.
_SHARES = """
with held as (
  select conid, min(symbol) as symbol, sum(quantity) as quantity from (
    select e.conid, e.symbol, case e.side when 'BUY' then e.quantity else -e.quantity end as quantity
      from oms.execution_current e where e.account_ref = %(account)s
    union all
    select p.conid, p.symbol, p.quantity from oms.position_event p where p.account_ref = %(account)s
  ) as parts group by conid
),
open as (
  select conid, min(symbol) as symbol, max(price) as price,
    coalesce(sum(rest) filter (where side = 'BUY'), 0) as buys,
    coalesce(sum(rest) filter (where side = 'SELL'), 0) as sells,
    coalesce(sum(rest * price) filter (where side = 'BUY'), 0) as cost
  from (
    select i.conid, i.symbol, i.side, greatest(i.quantity - i.filled, 0) as rest,
      greatest(i.limit_price, i.reference_price) as price
    from oms.order_intent i join oms.state s on s.name = i.state
    where i.account_ref = %(account)s and s.holds_risk and i.decision_key <> %(decision)s
      and (i.mode <> 'dry_run' or %(mode)s = 'dry_run')
    union all  -- orders that somebody else placed; one without a known price leaves the sums unknown, which denies
    select b.conid, coalesce(n.symbol, b.conid::text), b.detail ->> 'side',
      coalesce(b.detail ->> 'left', b.detail ->> 'quantity')::numeric, (
      select r.close::numeric from md.bar r where r.conid = b.conid and r.known_to is null
      order by r.opened_at desc limit 1)
    from oms.recon_break b left join md.instrument n using (conid)
    where b.account_ref = %(account)s and b.kind = 'foreign_order' and b.resolved_at is null
  ) as orders group by conid
),
mark as (
  select (p ->> 'conid')::bigint as conid, nullif(p ->> 'price', '')::numeric as price
  from (select positions from oms.account_snapshot where account_ref = %(account)s
        order by snapshot_id desc limit 1) as newest, jsonb_array_elements(newest.positions) as p
)
select conid, coalesce(held.symbol, open.symbol) as symbol, coalesce(held.quantity, 0) as held,
  coalesce(open.buys, 0) as buys, coalesce(open.sells, 0) as sells, coalesce(open.cost, 0) as cost,
  greatest(open.price, coalesce(mark.price, (
    select e.price from oms.execution_current e where e.account_ref = %(account)s and e.conid = held.conid
    order by e.executed_at desc limit 1))) as price
from held full join open using (conid) left join mark using (conid)
where held.quantity <> 0 or open.conid is not null
"""

_COUNTS = """
with today as (
  select i.conid, i.quantity * greatest(i.limit_price, i.reference_price) as notional
  from oms.risk_decision d join oms.order_intent i using (intent_id)
  where d.is_approved and d.market_at >= %(day)s and i.account_ref = %(account)s and i.mode = %(mode)s
    and i.decision_key <> %(decision)s
),
calls as (
  select w.sent_at, w.market_at from oms.wire_call w join oms.order_intent i using (intent_id)
  where i.account_ref = %(account)s and w.kind in ('place', 'cancel') and w.outcome is distinct from 'not_sent'
    and (w.market_at >= %(day)s or w.sent_at > clock_timestamp() - interval '1 minute')
),
resumed as (
  select max(c.at) as at from oms.control c
  where c.action in ('resume', 'arm') and c.actor not in ('submitter', 'watchdog')
    and c.scope in ('global', 'account:' || %(account)s, 'strategy:' || %(strategy)s, 'conid:' || %(conid)s)
)
select
  (select coalesce(sum(notional), 0) from today) as approved_today_usd,
  (select count(*) from today) as orders_today,
  (select count(*) from today where conid = %(conid)s) as orders_today_of_instrument,
  (select count(*) from oms.order_intent i join oms.state s on s.name = i.state
    where i.account_ref = %(account)s and i.conid = %(conid)s and i.side = %(side)s and s.holds_risk
      and i.decision_key <> %(decision)s and (i.mode <> 'dry_run' or %(mode)s = 'dry_run')) as working_orders,
  (select count(*) from calls where sent_at > clock_timestamp() - interval '1 second') as messages_last_second,
  (select count(*) from calls where sent_at > clock_timestamp() - interval '1 minute') as messages_last_minute,
  (select count(*) from calls where market_at >= %(day)s) as messages_today,
  (select count(distinct e.intent_id) from oms.execution_current e join oms.order_intent i using (intent_id)
    where e.account_ref = %(account)s and e.executed_at >= %(day)s and e.quantity > 0 and e.conid = %(conid)s
      and e.side = %(side)s and i.strategy_id = %(strategy)s
      and e.seen_at > coalesce((select at from resumed), '-infinity')) as repeats_today
"""

_LOOK_ALIKE = """
select coalesce((
  select i.client_order_id from oms.risk_decision d join oms.order_intent i using (intent_id)
  where d.is_approved and d.market_at > %(since)s and i.account_ref = %(account)s and i.mode = %(mode)s
    and i.conid = %(conid)s and i.side = %(side)s and i.quantity = %(quantity)s
    and (i.strategy_id, i.signal_bar_end, i.purpose) <> (%(strategy)s, %(bar_end)s, %(purpose)s)
    and abs(coalesce(i.limit_price, i.reference_price) - %(price)s) <= %(fraction)s * %(price)s
    and not exists (select from oms.risk_release r where r.code = 'look_alike' and r.decision_key = %(earlier)s::text)
  order by d.market_at desc limit 1), '') as look_alike
"""

_DECIDED = """
with siblings as (
  select i.leg, i.generation, i.side, i.quantity, i.decision_key, i.filled, s.holds_risk
  from oms.order_intent i join oms.state s on s.name = i.state
  where i.account_ref = %(account)s and i.mode = %(mode)s and i.strategy_id = %(strategy)s and i.conid = %(conid)s
    and i.signal_bar_end = %(bar_end)s and i.purpose = %(purpose)s and i.side = %(side)s
)
select
  coalesce(
    (select sum((o ->> 'quantity')::numeric) filter (where o ->> 'side' = %(side)s and o ->> 'purpose' = %(purpose)s)
       from oms.plan p, jsonb_array_elements(p.intents) as o
      where p.account_ref = %(account)s and p.mode = %(mode)s and p.strategy_id = %(strategy)s
        and p.conid = %(conid)s and p.signal_bar_end = %(bar_end)s),
    (select quantity from siblings order by generation, leg limit 1), %(quantity)s) as decided,
  (select coalesce(sum(filled + case when holds_risk then greatest(quantity - filled, 0) else 0 end), 0)
     from siblings where decision_key <> %(decision)s) as taken
"""

#: The cash of the books, what of it comes from sales that have not settled, and the broker's settled cash less what was
#: bought since it was read.
_STATE = """
with newest as (
  select recorded_at, broker_settled_cash_usd as settled from oms.account_snapshot
  where account_ref = %(account)s order by snapshot_id desc limit 1
),
money as (
  select (select sum(c.amount_usd) from oms.cash_event c where c.account_ref = %(account)s and c.kind <> 'accrual')
      + coalesce(sum(case e.side when 'BUY' then -1 else 1 end * e.quantity * e.price - e.commission), 0) as cash,
    coalesce(sum(e.quantity * e.price) filter (where e.side = 'SELL' and e.executed_at >= %(unsettled)s), 0)
      as unsettled,
    coalesce(sum(e.quantity * e.price + e.commission) filter (
      where e.side = 'BUY' and e.seen_at > (select recorded_at from newest)), 0) as bought_since
  from oms.execution_current e where e.account_ref = %(account)s
)
select extract(epoch from clock_timestamp() - newest.recorded_at) as reconciled_age_s, money.cash as cash_usd,
  money.cash - money.unsettled as settled_cash_usd, newest.settled - money.bought_since as broker_settled_cash_usd,
  coalesce(
    (select b.kind || ' ' || b.subject from oms.recon_break b
      where b.account_ref = %(account)s and b.resolved_at is null
        and (b.blocks = 'account' or (b.blocks = 'conid' and b.conid = %(conid)s)) order by b.break_id limit 1),
    (select case when r.is_clean then '' else 'the last reconciliation was not clean' end from oms.recon_run r
      where r.account_ref = %(account)s and r.finished_at is not null order by r.run_id desc limit 1)) as difference
from newest, money
"""


def day_start(now: datetime) -> datetime:
    """When the day of `now` began where the limits count days."""
    return datetime.combine(now.astimezone(DAY_ZONE).date(), time(), DAY_ZONE)


def read_exposure(cursor: psycopg.Cursor[DictRow], intent: OrderIntent, *, now: datetime, limits: Limits) -> Exposure:
    """Everything that the order's account shares, without the order itself. `now` is the market clock.

    What cannot be read off the rows is None.
    """
    found = fetch_together(cursor, exposure_statements(intent, now=now, limits=limits))
    return parse_exposure(intent, limits, found)


def exposure_statements(intent: OrderIntent, *, now: datetime, limits: Limits) -> list[Statement]:
    """What `parse_exposure` makes an exposure of. Whoever decides on it runs these under the account's lock."""
    values = _values(intent, now, limits)
    return [(text, values) for text in (_SHARES, _COUNTS, _DECIDED, _LOOK_ALIKE, _STATE, LOSSES)]


def parse_exposure(intent: OrderIntent, limits: Limits, found: Sequence[list[DictRow]]) -> Exposure:
    """The exposure that the rows of `exposure_statements` tell."""
    shares, counts, decided, alike, states, lost = found
    state, losses = states[0] if states else {}, parse_losses(lost)
    own = next((row for row in shares if row["conid"] == intent.conid), None)
    worst = _worst_of([row for row in shares if row["conid"] != intent.conid], limits, limits.sector(intent.symbol))
    return Exposure(
        held=own["held"] if own else ZERO,
        open_buys=own["buys"] if own else ZERO,
        open_sells=own["sells"] if own else ZERO,
        others_gross_usd=worst.gross,
        others_net_high_usd=worst.high,
        others_net_low_usd=worst.low,
        others_sector_usd=worst.in_sector,
        open_buy_cost_usd=sum((row["cost"] for row in shares), ZERO),
        **counts[0],
        look_alike=alike[0]["look_alike"],
        decided_quantity=decided[0]["decided"],
        taken_quantity=decided[0]["taken"],
        **state,
        day_loss_fraction=None if losses is None else losses.of_day.fraction,
        drawdown_fraction=None if losses is None else losses.from_peak.fraction,
    )


def read_free_cash(cursor: psycopg.Cursor[DictRow], account_ref: str, mode: Mode, *, now: datetime) -> Decimal | None:
    """What purchases may still be paid with, in USD: cash, settled by both figures, less what open ones may cost.

    The rows that R18 is heard on, without an order. None where the account was never compared with the broker or
    something that is open has no price.
    """
    values = {"account": account_ref, "conid": 0, "mode": mode, "decision": "", "unsettled": unsettled_since(now)}
    shares, states = fetch_together(cursor, [(_SHARES, values), (_STATE, values)])
    if not states or any(row["price"] is None for row in shares):
        return None
    state = states[0]
    figures = [state["cash_usd"], state["settled_cash_usd"], state["broker_settled_cash_usd"]]
    known = [figure for figure in figures if figure is not None]
    return min(known) - sum((row["cost"] for row in shares), ZERO) if known else None


def _values(intent: OrderIntent, now: datetime, limits: Limits) -> dict[str, Any]:
    known_key, generation = intent.decision_key.rpartition("|")[0], intent.generation
    return {
        "account": intent.account_ref, "conid": intent.conid, "mode": intent.mode, "side": intent.side,
        "strategy": intent.strategy_id, "decision": intent.decision_key, "bar_end": intent.signal_bar_end,
        "purpose": intent.purpose, "quantity": intent.quantity, "day": day_start(now),
        "earlier": f"{known_key}|{generation - 1}" if generation else None,
        "price": intent.limit_price or intent.reference_price, "unsettled": unsettled_since(now),
        "since": now - timedelta(minutes=limits.look_alike_minutes), "fraction": limits.look_alike_price_fraction,
    }  # fmt: skip


class _Worst(NamedTuple):
    gross: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    in_sector: Decimal | None = None


def _worst_of(rows: list[DictRow], limits: Limits, sector: str) -> _Worst:
    """What these instruments can become if everything that is open fills, in USD; None where one has no price."""
    if any(row["price"] is None for row in rows):
        return _Worst()
    gross = high = low = in_sector = ZERO
    for row in rows:
        most, least = (row["held"] + row["buys"]) * row["price"], (row["held"] - row["sells"]) * row["price"]
        worst = max(abs(most), abs(least))
        gross, high, low = gross + worst, high + most, low + least
        if limits.sector(row["symbol"]) == sector:
            in_sector += worst
    return _Worst(gross, high, low, in_sector)

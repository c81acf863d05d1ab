"""Permission to trade: who gave or withdrew it and from which login, what an arm rests on, and who watches.

A withdrawal and a send that is being allowed exclude each other: a send that comes later sees the withdrawal, one
that came before is committed before the withdrawal's own time. Closing by hand is allowed under a kill, never under
a disarm, and only as far as the position goes.
"""

from alembic import op

revision = "0011"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = """
alter table oms.control add column session text not null default '';
alter table oms.control add column login text not null default session_user;
alter table oms.control add column evidence jsonb not null default '{}';
alter table oms.control drop constraint control_action_check;
alter table oms.control add constraint control_action_check
  check (action in ('arm', 'disarm', 'kill', 'kill_cancel', 'kill_flatten', 'resume'));

alter table oms.heartbeat add column busy_s double precision not null default 0 check (busy_s >= 0);

create table oms.permit (
  permit_id bigint generated always as identity primary key,
  account_ref text not null references oms.account,
  mode text not null check (mode in ('dry_run', 'sim', 'paper', 'live')),
  is_simulator boolean not null,
  is_granted boolean not null,
  keys jsonb not null,
  at timestamptz not null default clock_timestamp()
);
create index permit_by_account on oms.permit (account_ref, at);

create table oms.watchdog (
  account_ref text primary key references oms.account,
  status text not null,
  detail text not null default '',
  at timestamptz not null default clock_timestamp()
);

create table oms.alert (
  alert_id bigint generated always as identity primary key,
  account_ref text not null references oms.account,
  severity text not null check (severity in ('warning', 'page')),
  kind text not null,
  subject text not null,
  text text not null,
  raised_by text not null,
  raised_at timestamptz not null default clock_timestamp(),
  resolved_at timestamptz
);
create unique index one_open_alert on oms.alert (account_ref, kind, subject) where resolved_at is null;

create trigger append_only before update or delete on oms.permit for each row execute function oms.refuse_change();
create trigger never_deleted before delete on oms.alert for each row execute function oms.refuse_change();
create trigger never_emptied before truncate on oms.permit for each statement execute function oms.refuse_change();
create trigger never_emptied before truncate on oms.alert for each statement execute function oms.refuse_change();
"""

BLOCKS = """
create function oms.blocked_by(p_account text, p_strategy text, p_conid bigint, p_reduces boolean) returns text
language sql stable as $$
  select c.action || ' of ' || c.scope || ' by ' || c.actor || ': ' || c.reason
  from oms.control c
  where (c.scope = 'global' or c.scope = 'account:' || p_account or c.scope = 'strategy:' || p_strategy
         or c.scope = 'conid:' || p_conid)
    and ((c.action like 'kill%' and not p_reduces and not exists (
            select from oms.control r where r.scope = c.scope and r.control_id > c.control_id and r.action = 'resume'))
      or (c.action = 'disarm' and not exists (
            select from oms.control r where r.scope = c.scope and r.control_id > c.control_id
              and r.action in ('arm', 'resume'))))
  order by c.control_id desc
  limit 1
$$;

create or replace function oms.blocked_by(p_account text, p_strategy text, p_conid bigint) returns text
language sql stable as $$
  select oms.blocked_by(p_account, p_strategy, p_conid, false)
$$;

create function oms.active_arm(p_account text, p_reduces boolean) returns oms.control language sql stable as $$
  select c.* from oms.control c
  where c.scope = 'account:' || p_account and c.action = 'arm' and c.expires_at > clock_timestamp()
    and not exists (select from oms.control d where d.scope in (c.scope, 'global') and d.control_id > c.control_id
                    and (d.action = 'disarm' or (not p_reduces and (d.action = 'resume' or d.action like 'kill%'))))
  order by c.control_id desc
  limit 1
$$;

create function oms.reduces(i oms.order_intent) returns boolean language sql stable as $$
  select i.purpose = 'reduce' and i.dagster_run_id is null and case i.side
      when 'SELL' then coalesce(held.quantity, 0) - coalesce(open.quantity, 0) >= i.quantity
      else -coalesce(held.quantity, 0) - coalesce(open.quantity, 0) >= i.quantity end
  from (select sum(q) as quantity from (
          select case e.side when 'BUY' then e.quantity else -e.quantity end as q from oms.execution_current e
           where e.account_ref = i.account_ref and e.conid = i.conid
          union all
          select p.quantity from oms.position_event p where p.account_ref = i.account_ref and p.conid = i.conid) all_q)
       as held,
       (select sum(o.quantity - o.filled) as quantity from oms.order_intent o join oms.state s on s.name = o.state
         where o.account_ref = i.account_ref and o.conid = i.conid and o.side = i.side and s.holds_risk
           and o.intent_id <> i.intent_id) as open
$$;
"""

WITHHELD = """
create function oms.withheld(i oms.order_intent) returns text language sql stable as $$
  select coalesce(
    oms.blocked_by(i.account_ref, i.strategy_id, i.conid, oms.reduces(i)),
    case when i.mode = 'live' and (oms.active_arm(i.account_ref, oms.reduces(i))).control_id is null
      then 'account ' || i.account_ref || ' is not armed' end)
$$;
"""

SENDS = """
create or replace function oms.check_send(new oms.order_intent) returns void language plpgsql as $$
declare
  call oms.wire_call;
  blocked text;
begin
  if new.mode not in ('dry_run', coalesce((select a.mode from oms.account a where a.account_ref = new.account_ref),
                                          'none')) then
    raise exception 'intent of mode % is refused on account %', new.mode, new.account_ref;
  end if;
  select w.* into call from oms.wire_call w
   where w.intent_id = new.intent_id and w.kind = 'place' and w.outcome is null
     and w.send_number = new.send_count and w.epoch = new.epoch;
  if call.call_id is null then
    raise exception 'no open wire call % for %', new.send_count, new.client_order_id;
  end if;
  if call.market_at >= new.valid_until then
    raise exception '% was valid until %, market time is %', new.client_order_id, new.valid_until, call.market_at;
  end if;
  if new.mode in ('paper', 'live') and abs(extract(epoch from clock_timestamp() - call.market_at)) > 5 then
    raise exception 'market time % is not the time in mode %', call.market_at, new.mode;
  end if;
  perform pg_advisory_xact_lock_shared(hashtext('oms.control'));
  blocked := oms.withheld(new);
  if blocked is not null then
    raise exception 'permission to trade is withdrawn by %', blocked;
  end if;
  if exists (select from oms.order_intent o where o.account_ref = new.account_ref and o.conid = new.conid
               and o.state = 'UNKNOWN' and o.intent_id <> new.intent_id) then
    raise exception 'conid % has an order in doubt', new.conid;
  end if;
end $$;
"""

CONTROL = """
create function oms.guard_control() returns trigger language plpgsql as $$
declare
  platform_mode text;
  withdrawn oms.control;
  problem text;
begin
  -- A kill waits for sends that are being committed, and never for long: a writer that hangs must not hold it up.
  for attempt in 1..100 loop
    exit when pg_try_advisory_xact_lock(hashtext('oms.control'));
    perform pg_sleep(0.01);
  end loop;
  new.at := clock_timestamp();
  new.login := session_user;
  select a.mode into platform_mode from oms.account a where a.mode is not null and a.mode <> 'dry_run' limit 1;
  select c.* into withdrawn from oms.control c
   where c.scope = new.scope and c.action like 'kill%' and not exists (
     select from oms.control r where r.scope = c.scope and r.action = 'resume' and r.control_id > c.control_id)
   order by c.control_id desc limit 1;
  if new.action = 'arm' then
    if new.expires_at <= new.at or new.expires_at > new.at + interval '5 days' then
      raise exception 'an arm ends within five days from now, got %', new.expires_at;
    end if;
  end if;
  if new.action = 'kill_flatten' and not exists (
      select from oms.control c where c.scope = new.scope and c.evidence ->> 'flatten' = 'asked'
         and c.actor <> new.actor and c.session <> new.session and c.at > new.at - interval '15 minutes'
         and not exists (select from oms.control r where r.scope = c.scope and r.action = 'resume'
                          and r.control_id > c.control_id)) then
    raise exception 'closing every position of % needs a second person within 15 minutes', new.scope;
  end if;
  if new.action in ('arm', 'resume') and platform_mode = 'live' then
    if exists (select from pg_roles where rolname = 'ibkr_app') and session_user = 'ibkr_app' then
      raise exception 'role % may withdraw permission to trade live, not give it', session_user;
    end if;
  end if;
  if new.action = 'resume' and platform_mode in ('paper', 'live') and withdrawn.control_id is not null then
    problem := case
      when new.session = '' then 'a resume names its login session'
      when exists (select from oms.control c where c.scope = new.scope and c.action like 'kill%'
                     and c.session = new.session and not exists (
                       select from oms.control r where r.scope = c.scope and r.action = 'resume'
                         and r.control_id > c.control_id))
        then 'the login session that killed may not resume'
      when exists (select from oms.order_intent i
                    where i.state in ('SUBMITTING', 'QUESTION', 'CONFIRMING', 'UNKNOWN', 'CANCEL_UNKNOWN'))
        then 'an order is in doubt'
      when exists (select from oms.recon_break b where b.resolved_at is null and b.blocks = 'account')
        then 'a difference that blocks the account is open'
      when not exists (select from oms.account_snapshot s
                        where s.recorded_at > withdrawn.at and s.recorded_at > new.at - interval '5 minutes')
        then 'the account was not compared since the kill, or not in the last five minutes'
    end;
    if problem is not null then
      raise exception 'resume of % is refused: %', new.scope, problem;
    end if;
  end if;
  return new;
end $$;
create trigger guard before insert on oms.control for each row execute function oms.guard_control();
"""

GRANTS = """
do $$
begin
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant select on oms.permit, oms.watchdog, oms.alert to ibkr_app;
    grant insert, update on oms.watchdog to ibkr_app;
    grant insert on oms.alert to ibkr_app;
    grant update (resolved_at) on oms.alert to ibkr_app;
  end if;
  if exists (select from pg_roles where rolname = 'ibkr_submitter') then
    grant select, insert, update on oms.permit, oms.watchdog, oms.alert to ibkr_submitter;
  end if;
end $$;
"""


def upgrade() -> None:
    """Add what permission rests on, and its guards."""
    for script in (TABLES, BLOCKS, WITHHELD, SENDS, CONTROL, GRANTS):
        op.execute(script)


def downgrade() -> None:
    """Refused: what permission was given under is part of the ledger."""
    raise NotImplementedError("the record of permissions is never dropped; restore a backup instead")

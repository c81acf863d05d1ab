"""What a person asks of one order: that it be cancelled, or that a doubt which looks cannot end be ended.

Both are rows that the submitter acts on; nothing here reaches the broker by itself. Each says what the person saw, and
is refused when the order has moved on since. A statement about an order in doubt takes the place of one thing alone,
the unchanged position: that both lists were read twice, and did not show the order, nobody can say in their stead.
"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

REQUESTS = """
create table oms.cancel_request (
  intent_id uuid primary key references oms.order_intent,
  actor text not null check (actor <> ''),
  session text not null default '',
  reason text not null check (reason <> ''),
  seen_state text not null references oms.state,
  seen_filled numeric(18,4) not null,
  requested_at timestamptz not null default clock_timestamp()
);

create function oms.guard_cancel_request() returns trigger language plpgsql as $$
declare
  found oms.order_intent;
begin
  select i.* into found from oms.order_intent i where i.intent_id = new.intent_id;
  if (select s.is_terminal from oms.state s where s.name = found.state) then
    raise exception '% is over: %', found.client_order_id, found.state;
  end if;
  if (found.state, found.filled) is distinct from (new.seen_state, new.seen_filled) then
    raise exception '% is % with % filled now, you saw % with %; look again', found.client_order_id, found.state,
      found.filled, new.seen_state, new.seen_filled;
  end if;
  new.requested_at := clock_timestamp();
  return new;
end $$;
create trigger guard before insert on oms.cancel_request for each row execute function oms.guard_cancel_request();

create function oms.tell_order() returns trigger language plpgsql as $$
begin
  perform pg_notify('oms', (select i.account_ref from oms.order_intent i where i.intent_id = new.intent_id));
  return null;
end $$;
create trigger tell after insert on oms.cancel_request for each row execute function oms.tell_order();
"""

STATEMENTS = """
create table oms.doubt_statement (
  intent_id uuid not null references oms.order_intent,
  unknown_since timestamptz not null,
  actor text not null check (actor <> ''),
  session text not null default '',
  reason text not null check (length(reason) >= 10),
  stated_at timestamptz not null default clock_timestamp(),
  primary key (intent_id, unknown_since)
);

create function oms.looked_for(p_intent uuid, p_since timestamptz) returns boolean language sql stable as $$
  select count(*) >= 2 and max(o.observed_at) - min(o.observed_at) >= interval '30 seconds'
  from oms.absence_observation o
  where o.intent_id = p_intent and o.observed_at >= p_since and o.is_ready and o.is_snapshot and o.is_primed
$$;

create function oms.guard_statement() returns trigger language plpgsql as $$
declare
  found oms.order_intent;
begin
  select i.* into found from oms.order_intent i where i.intent_id = new.intent_id;
  if found.unknown_since is distinct from new.unknown_since then
    raise exception '% is % now, you saw it in doubt since %; look again', found.client_order_id, found.state,
      new.unknown_since;
  end if;
  if not oms.looked_for(new.intent_id, new.unknown_since) then
    raise exception 'orders and executions were not both read twice, 30 seconds apart, without %; nobody can say that '
      'it is not there', found.client_order_id;
  end if;
  new.stated_at := clock_timestamp();
  return new;
end $$;
create trigger guard before insert on oms.doubt_statement for each row execute function oms.guard_statement();
create trigger tell after insert on oms.doubt_statement for each row execute function oms.tell_order();

create or replace function oms.check_evidence(old oms.order_intent, new oms.order_intent) returns void
language plpgsql as $$
declare
  last_outcome text;
  seen int;
begin
  if new.state in ('ACKED', 'WORKING', 'FILLED', 'CANCELLED') then
    if new.broker_order_id is null then
      raise exception '% leaves UNKNOWN to % without a broker order id', new.client_order_id, new.state;
    end if;
    return;
  end if;
  if new.state = 'NOT_PLACED' and oms.looked_for(new.intent_id, old.unknown_since) and exists (
      select from oms.doubt_statement d where d.intent_id = new.intent_id and d.unknown_since = old.unknown_since) then
    return;
  end if;
  select w.outcome into last_outcome from oms.wire_call w
   where w.intent_id = new.intent_id and w.kind in ('place', 'reply') order by w.call_id desc limit 1;
  select count(*) into seen from oms.absence_observation o
   where o.intent_id = new.intent_id and o.observed_at >= old.unknown_since
     and o.is_ready and o.is_snapshot and o.is_primed and o.is_position_unchanged;
  if (new.state in ('APPROVED', 'NOT_PLACED') and last_outcome is distinct from 'not_sent' and seen < 2)
     or (new.state = 'REJECTED' and (last_outcome is distinct from 'rejected' or seen < 1)) then
    raise exception '% leaves UNKNOWN to % without evidence (last call %, % observations)',
      new.client_order_id, new.state, last_outcome, seen;
  end if;
end $$;
"""

GRANTS = """
do $$
declare name text;
begin
  foreach name in array array['cancel_request', 'doubt_statement'] loop
    execute format('create trigger append_only before update or delete on oms.%I
                    for each row execute function oms.refuse_change()', name);
    execute format('create trigger never_emptied before truncate on oms.%I
                    for each statement execute function oms.refuse_change()', name);
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant select on oms.cancel_request, oms.doubt_statement to ibkr_app;
    grant insert (intent_id, actor, session, reason, seen_state, seen_filled) on oms.cancel_request to ibkr_app;
    grant insert (intent_id, actor, session, reason, unknown_since) on oms.doubt_statement to ibkr_app;
  end if;
  if exists (select from pg_roles where rolname = 'ibkr_submitter') then
    grant select on oms.cancel_request, oms.doubt_statement to ibkr_submitter;
  end if;
end $$;
"""


def upgrade() -> None:
    """Add both kinds of rows, and what the evidence of a person is worth."""
    for script in (REQUESTS, STATEMENTS, GRANTS):
        op.execute(script)


def downgrade() -> None:
    """Refused: what people asked for stays written down."""
    raise NotImplementedError("the record of requests is never dropped; restore a backup instead")

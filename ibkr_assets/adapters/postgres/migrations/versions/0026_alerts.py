"""Alerts leave the machine: a closed list of codes, what was sent where, every try, and the one process that sends.

An alert is never changed but for its end, its count and who acknowledged it; a try is written before it is made and
once more when it ended, so that a crash in between is seen. Addresses of channels are secrets and not in the database.
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

ALERTS = """
create table oms.alert_code (
  code text primary key,
  severity text not null check (severity in ('info', 'warning', 'page'))
);
insert into oms.alert_code (code, severity) values
  ('silent', 'page'), ('question_open', 'page'), ('doubt_lasts', 'page'), ('not_compared', 'page'),
  ('killed', 'page'), ('disarmed', 'warning'), ('invariant_broken', 'page'), ('invariants_unchecked', 'page'),
  ('order_unknown', 'warning'), ('orders_denied', 'info'), ('account_blocked', 'page'), ('break_found', 'warning'),
  ('portfolio_drift', 'warning'), ('session_lost', 'warning'), ('login_deadline', 'page'), ('stale_data', 'warning'),
  ('gap_given_up', 'warning'), ('corporate_action', 'warning'), ('budget_spent', 'warning'), ('run_failed', 'warning'),
  ('check_failed', 'warning'), ('database_away', 'page'), ('disk_low', 'page'), ('backup_failed', 'warning'),
  ('sender_silent', 'page'), ('channel_failed', 'warning'), ('test', 'page');

alter table oms.alert drop constraint alert_severity_check;
alter table oms.alert
  add constraint alert_severity_check check (severity in ('info', 'warning', 'page')),
  add constraint known_code foreign key (kind) references oms.alert_code (code),
  add column payload jsonb not null default '{}',
  add column repeats int not null default 0 check (repeats >= 0),
  add column last_seen_at timestamptz not null default clock_timestamp(),
  add column acknowledged_at timestamptz,
  add column acknowledged_by text,
  add constraint acknowledged_by_somebody check ((acknowledged_at is null) = (acknowledged_by is null));
create index alert_by_kind on oms.alert (account_ref, kind, subject);
create index alert_by_time on oms.alert (account_ref, raised_at);

create function oms.guard_alert() returns trigger language plpgsql as $$
declare
  may_change text[] := array['resolved_at', 'repeats', 'last_seen_at', 'acknowledged_at', 'acknowledged_by'];
begin
  if (to_jsonb(new) - may_change) is distinct from (to_jsonb(old) - may_change) then
    raise exception 'what alert % says is never changed', old.alert_id;
  end if;
  if old.resolved_at is not null and new.resolved_at is distinct from old.resolved_at then
    raise exception 'alert % is over and is not opened again', old.alert_id;
  end if;
  if old.acknowledged_at is not null and (new.acknowledged_at, new.acknowledged_by)
     is distinct from (old.acknowledged_at, old.acknowledged_by) then
    raise exception 'alert % was acknowledged by %', old.alert_id, old.acknowledged_by;
  end if;
  return new;
end $$;
create trigger guard before update on oms.alert for each row execute function oms.guard_alert();
"""

OUTBOX = """
create table oms.alert_delivery (
  delivery_id bigint generated always as identity primary key,
  account_ref text not null references oms.account,
  channel text not null check (channel <> ''),
  event text not null check (event in ('raised', 'resolved', 'reminder', 'digest')),
  alert_id bigint references oms.alert,
  digest_of date,
  created_at timestamptz not null default clock_timestamp(),
  due_at timestamptz not null,
  tries int not null default 0 check (tries >= 0),
  problem text not null default '',
  delivered_at timestamptz,
  dropped_at timestamptz,
  check ((event = 'digest') = (alert_id is null)),
  check ((event = 'digest') = (digest_of is not null)),
  check (delivered_at is null or dropped_at is null)
);
create unique index one_delivery on oms.alert_delivery (account_ref, channel, event, alert_id)
  where event in ('raised', 'resolved');
create unique index one_digest on oms.alert_delivery (account_ref, channel, digest_of) where event = 'digest';
create index delivery_open on oms.alert_delivery (account_ref, due_at)
  where delivered_at is null and dropped_at is null;
create index delivery_by_alert on oms.alert_delivery (alert_id);

create function oms.guard_delivery() returns trigger language plpgsql as $$
declare
  may_change text[] := array['due_at', 'tries', 'problem', 'delivered_at', 'dropped_at'];
begin
  if (to_jsonb(new) - may_change) is distinct from (to_jsonb(old) - may_change) then
    raise exception 'what delivery % is for is never changed', old.delivery_id;
  end if;
  if old.delivered_at is not null or old.dropped_at is not null then
    raise exception 'delivery % has ended', old.delivery_id;
  end if;
  if new.tries < old.tries then
    raise exception 'delivery % was tried % times', old.delivery_id, old.tries;
  end if;
  return new;
end $$;
create trigger guard before update on oms.alert_delivery for each row execute function oms.guard_delivery();

create table oms.alert_try (
  try_id bigint generated always as identity primary key,
  account_ref text not null references oms.account,
  channel text not null,
  deliveries bigint[] not null check (cardinality(deliveries) > 0),
  begun_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  is_delivered boolean,
  problem text not null default '',
  check ((ended_at is null) = (is_delivered is null))
);
create index try_by_channel on oms.alert_try (account_ref, channel, begun_at);

create function oms.guard_try() returns trigger language plpgsql as $$
begin
  if old.ended_at is not null or (to_jsonb(new) - array['ended_at', 'is_delivered', 'problem'])
     is distinct from (to_jsonb(old) - array['ended_at', 'is_delivered', 'problem']) then
    raise exception 'try % is over', old.try_id;
  end if;
  return new;
end $$;
create trigger guard before update on oms.alert_try for each row execute function oms.guard_try();

create table oms.alert_channel (
  account_ref text not null references oms.account,
  channel text not null,
  scheme text not null,
  min_severity text not null check (min_severity in ('info', 'warning', 'page')),
  is_active boolean not null default true,
  added_at timestamptz not null default clock_timestamp(),
  failing_since timestamptz,
  problem text not null default '',
  delivered_at timestamptz,
  primary key (account_ref, channel)
);

create table oms.alert_sender (
  account_ref text primary key references oms.account,
  holder text not null,
  channels int not null check (channels >= 0),
  at timestamptz not null default clock_timestamp(),
  answered_at timestamptz not null default clock_timestamp(),
  heartbeat_at timestamptz,
  heartbeat_problem text not null default ''
);

-- Where the ledger had got to when alerts began to be taken from it: what is older is history, and nobody's alert.
create table oms.alert_source (
  source text primary key,
  position bigint not null
);
insert into oms.alert_source (source, position) values
  ('control', coalesce((select max(control_id) from oms.control), 0)),
  ('recon_break', coalesce((select max(break_id) from oms.recon_break), 0)),
  ('order_event', coalesce((select max(seq) from oms.order_event), 0));
"""

GRANTS = """
do $$
declare name text;
begin
  foreach name in array array['alert_delivery', 'alert_try', 'alert_channel', 'alert_sender', 'alert_source'] loop
    execute format('create trigger never_deleted before delete on oms.%I
                    for each row execute function oms.refuse_change()', name);
  end loop;
  create trigger append_only before update or delete on oms.alert_code
    for each row execute function oms.refuse_change();
  foreach name in array array['alert_code', 'alert_delivery', 'alert_try', 'alert_channel', 'alert_sender',
                              'alert_source'] loop
    execute format('create trigger never_emptied before truncate on oms.%I
                    for each statement execute function oms.refuse_change()', name);
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant select on oms.alert_code, oms.alert_delivery, oms.alert_try, oms.alert_channel, oms.alert_sender,
      oms.alert_source to ibkr_app;
    grant update (repeats, last_seen_at, acknowledged_at, acknowledged_by) on oms.alert to ibkr_app;
    grant insert on oms.alert_delivery, oms.alert_try, oms.alert_channel, oms.alert_sender to ibkr_app;
    grant update (due_at, tries, problem, delivered_at, dropped_at) on oms.alert_delivery to ibkr_app;
    grant update (ended_at, is_delivered, problem) on oms.alert_try to ibkr_app;
    grant update on oms.alert_channel, oms.alert_sender to ibkr_app;
    grant update (position) on oms.alert_source to ibkr_app;
  end if;
  if exists (select from pg_roles where rolname = 'ibkr_submitter') then
    grant select on oms.alert_code, oms.alert_delivery, oms.alert_channel, oms.alert_sender to ibkr_submitter;
  end if;
end $$;
"""


def upgrade() -> None:
    """Add the outbox of alerts."""
    for script in (ALERTS, OUTBOX, GRANTS):
        op.execute(script)


def downgrade() -> None:
    """Refused: what people were told is part of the record."""
    raise NotImplementedError("the record of alerts is never dropped; restore a backup instead")

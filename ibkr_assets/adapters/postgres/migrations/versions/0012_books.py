"""The account by day, splits as events that positions follow, and differences that a person resolves.

What changes shares without a trade says when it took effect and what it was worth; what an operator decided about a
difference is a row that is never changed, and the books follow it in the same transaction.
"""

from alembic import op

revision = "0012"
down_revision = "0010"
branch_labels = None
depends_on = None

BOOKS = """
-- What was brought in from outside since the snapshot before, less what was taken out.
alter table oms.account_snapshot add column paid_in_usd numeric(20,6) not null default 0;
create index snapshot_paid_in on oms.account_snapshot (account_ref, snapshot_id) where paid_in_usd <> 0;

alter table oms.position_event
  add column new_shares int check (new_shares > 0),
  add column old_shares int check (old_shares > 0),
  add column effective_at timestamptz,
  add column price_usd numeric(18,6) check (price_usd >= 0),
  add column is_paid_in boolean not null default false,
  add column reference jsonb not null default '{}',
  add constraint split_says_how check (kind <> 'split' or (new_shares is not null and old_shares is not null
                                                           and effective_at is not null)) not valid,
  add constraint paid_in_has_a_price check (not is_paid_in or price_usd is not null);
create index split_by_conid on oms.position_event (account_ref, conid, effective_at) where kind = 'split';

create aggregate oms.product(numeric) (sfunc = numeric_mul, stype = numeric);

create function oms.after_splits(p_account text, p_conid bigint, p_at timestamptz, p_quantity numeric) returns numeric
language sql stable as $$
  select p_quantity * coalesce(oms.product(s.new_shares), 1) / coalesce(oms.product(s.old_shares), 1)
  from oms.position_event s
  where s.account_ref = p_account and s.conid = p_conid and s.kind = 'split' and s.effective_at > p_at
$$;

create table oms.nav_day (
  account_ref text not null references oms.account,
  session_date date not null,
  snapshot_id bigint not null references oms.account_snapshot,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (account_ref, session_date)
);

alter table oms.recon_run add column report jsonb;

create table oms.recon_request (
  request_id bigint generated always as identity primary key,
  account_ref text not null references oms.account,
  requested_by text not null check (requested_by <> ''),
  requested_at timestamptz not null default clock_timestamp(),
  run_id bigint references oms.recon_run,
  answered_at timestamptz,
  check ((run_id is null) = (answered_at is null))
);
create index request_open on oms.recon_request (account_ref) where answered_at is null;

create function oms.tell_request() returns trigger language plpgsql as $$
begin
  perform pg_notify('oms', new.account_ref);
  return null;
end $$;
create trigger tell after insert on oms.recon_request for each row execute function oms.tell_request();
"""

RESOLUTIONS = """
create table oms.break_resolution (
  break_id bigint primary key references oms.recon_break,
  actor text not null check (actor <> ''),
  reason text not null check (reason <> ''),
  is_adopted boolean not null default false,
  is_paid_in boolean not null default false,
  new_shares int,
  old_shares int,
  market_at timestamptz not null,
  resolved_at timestamptz not null default clock_timestamp(),
  check (is_adopted or (not is_paid_in and new_shares is null)),
  check ((new_shares is null) = (old_shares is null)),
  check (new_shares is null or not is_paid_in)
);

create function oms.held(p_account text, p_conid bigint) returns numeric language sql stable as $$
  select (select coalesce(sum(case e.side when 'BUY' then e.quantity else -e.quantity end), 0)
            from oms.execution_current e where e.account_ref = p_account and e.conid = p_conid)
       + (select coalesce(sum(p.quantity), 0)
            from oms.position_event p where p.account_ref = p_account and p.conid = p_conid)
$$;

create function oms.follow_resolution() returns trigger
language plpgsql security definer set search_path = oms, pg_temp as $$
declare
  found oms.recon_break;
begin
  select b.* into found from oms.recon_break b where b.break_id = new.break_id for update;
  if found.resolved_at is not null then
    raise exception 'difference % was resolved before, by %', new.break_id, found.resolved_by;
  end if;
  if new.is_adopted and found.kind = 'position' then
    perform from oms.account a where a.account_ref = found.account_ref for update;
    if oms.held(found.account_ref, found.conid) <> (found.detail ->> 'books')::numeric then
      raise exception 'the books have moved on since difference % was found; reconcile first', new.break_id;
    end if;
    insert into oms.position_event (account_ref, kind, conid, symbol, quantity, detail, market_at, effective_at,
                                    new_shares, old_shares, price_usd, is_paid_in, reference)
    values (found.account_ref, case when new.new_shares is null then 'adjustment' else 'split' end, found.conid,
            found.detail ->> 'symbol', (found.detail ->> 'broker')::numeric - (found.detail ->> 'books')::numeric,
            new.reason, new.market_at, coalesce((found.detail ->> 'market_at')::timestamptz, new.market_at),
            new.new_shares, new.old_shares, (found.detail ->> 'price')::numeric, new.is_paid_in,
            jsonb_build_object('break_id', new.break_id, 'actor', new.actor));
  elsif new.is_adopted and found.kind = 'cash' then
    insert into oms.cash_event (account_ref, kind, amount_usd, detail, market_at)
    values (found.account_ref, case when new.is_paid_in then 'deposit' else 'adjustment' end,
            (found.detail ->> 'difference_usd')::numeric, 'break ' || new.break_id || ', ' || new.actor || ': '
            || new.reason, new.market_at);
  elsif new.is_adopted then
    raise exception 'difference % is of kind %; only position and cash can be adopted', new.break_id, found.kind;
  end if;
  update oms.recon_break b set resolved_by = new.actor || ': ' || new.reason, resolved_at = clock_timestamp()
   where b.break_id = new.break_id;
  return new;
end $$;
create trigger follow before insert on oms.break_resolution
  for each row execute function oms.follow_resolution();

do $$
declare name text;
begin
  foreach name in array array['nav_day', 'break_resolution'] loop
    execute format('create trigger append_only before update or delete on oms.%I
                    for each row execute function oms.refuse_change()', name);
  end loop;
  create trigger never_deleted before delete on oms.recon_request for each row execute function oms.refuse_change();
  foreach name in array array['nav_day', 'break_resolution', 'recon_request'] loop
    execute format('create trigger never_emptied before truncate on oms.%I
                    for each statement execute function oms.refuse_change()', name);
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant select on oms.nav_day, oms.break_resolution, oms.recon_request to ibkr_app;
    grant insert on oms.break_resolution to ibkr_app;
    grant insert (account_ref, requested_by) on oms.recon_request to ibkr_app;
  end if;
  if exists (select from pg_roles where rolname = 'ibkr_submitter') then
    grant select, insert, update on oms.nav_day, oms.break_resolution, oms.recon_request to ibkr_submitter;
  end if;
end $$;
"""


def upgrade() -> None:
    """Add what the books need."""
    op.execute(BOOKS)
    op.execute(RESOLUTIONS)


def downgrade() -> None:
    """Refused: books are not dropped by a tool."""
    raise NotImplementedError("the account's books are never dropped; restore a backup instead")

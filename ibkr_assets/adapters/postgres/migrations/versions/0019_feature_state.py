"""Averages that features are carried on from, what they rest on besides bars, and a count that says when they may not.

`md.bar_epoch` counts, for each instrument, changes of accepted bars up to the newest one that was accepted: a
correction, another verdict, a bar that came late. New bars at the end do not count. Averages hold while the count does.
"""

from alembic import op

revision = "0019"
down_revision = "0020"
branch_labels = None
depends_on = None

EPOCHS = """
create table md.bar_epoch (
  conid bigint not null,
  bar_size text not null,
  epoch bigint not null default 0,
  newest timestamptz not null,
  primary key (conid, bar_size)
);
comment on column md.bar_epoch.newest is 'opening of the newest bar that was ever accepted';
insert into md.bar_epoch (conid, bar_size, newest)
select conid, bar_size, max(opened_at) from md.bar_verdict where verdict = 'accepted' group by conid, bar_size;

create function md.count_accepted() returns trigger language plpgsql as $$
begin
  insert into md.bar_epoch (conid, bar_size, newest)
  select distinct conid, bar_size, '-infinity'::timestamptz from fresh where verdict = 'accepted' order by 1, 2
  on conflict do nothing;
  perform from md.bar_epoch e
  where (e.conid, e.bar_size) in (select conid, bar_size from fresh where verdict = 'accepted')
  order by e.conid, e.bar_size for update;
  update md.bar_epoch e
  set epoch = e.epoch + (f.oldest <= e.newest)::integer, newest = greatest(e.newest, f.newest)
  from (
    select conid, bar_size, min(opened_at) as oldest, max(opened_at) as newest
    from fresh where verdict = 'accepted' group by conid, bar_size) as f
  where e.conid = f.conid and e.bar_size = f.bar_size;
  return null;
end $$;
create function md.count_changed() returns trigger language plpgsql as $$
begin
  perform from md.bar_epoch e
  where (e.conid, e.bar_size) in (select conid, bar_size from fresh) order by e.conid, e.bar_size for update;
  insert into md.bar_epoch as e (conid, bar_size, epoch, newest)
  select conid, bar_size, 1, max(opened_at) from fresh group by conid, bar_size order by 1, 2
  on conflict (conid, bar_size) do update set epoch = e.epoch + 1, newest = greatest(e.newest, excluded.newest);
  return null;
end $$;
create trigger bar_verdict_accepted after insert on md.bar_verdict referencing new table as fresh
  for each statement execute function md.count_accepted();
create trigger bar_verdict_changed after update on md.bar_verdict referencing new table as fresh
  for each statement execute function md.count_changed();
create trigger bar_changed after update on md.bar referencing new table as fresh
  for each statement execute function md.count_changed();
"""

STATES = """
create table research.feature_state (
  conid bigint not null,
  bar_size text not null,
  feature_digest text not null,
  opened_at timestamptz not null,
  epoch bigint not null,
  averages double precision[] not null,
  input_sha256 text not null references research.feature_input,
  primary key (conid, bar_size, feature_digest, opened_at)
);
comment on table research.feature_state is 'computed again where it is missing: rows may be deleted';
comment on column research.feature_state.epoch is 'md.bar_epoch as it was before the bars were read';
"""

INPUTS = """
alter table research.feature_input add column actions jsonb not null default '[]'
  check (jsonb_typeof(actions) = 'array');
comment on column research.feature_input.actions is 'splits and special dividends that prices were adjusted for';
comment on column research.feature.input_sha256 is
  'names the bar versions it was computed from: those of feature_input opened up to its own, and actions till then';
alter table research.signal_basis
  add column actions jsonb not null default '[]' check (jsonb_typeof(actions) = 'array');
comment on column research.signal_basis.actions is 'splits and special dividends that prices were adjusted for';
"""

GRANTS = """
do $$
declare name text;
begin
  foreach name in array array['ibkr_app', 'ibkr_submitter'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant select on md.bar_epoch, research.feature_state to %I', name);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant insert, update on md.bar_epoch to ibkr_app;
    grant insert, update, delete on research.feature_state to ibkr_app;
  end if;
end $$;
"""


def upgrade() -> None:
    """Add the counts, the states, and the columns of actions."""
    for script in (EPOCHS, STATES, INPUTS, GRANTS):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))


def downgrade() -> None:
    """Refused: a schema goes forward only."""
    raise NotImplementedError("there is no way back; restore a backup")

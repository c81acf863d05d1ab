"""What is known of bars beside their values: listing days, delayed feeds, tries to fill gaps, hours that differ.

A delayed bar is a row of its own, so that a feed without delay, which is the rule, costs nothing.
"""

from alembic import op

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None

BARS = """
alter table md.instrument add column listed_on date;
comment on column md.instrument.listed_on is 'the first day it was traded; null: not known';

create table md.bar_delay (
  conid bigint not null,
  bar_size text not null,
  opened_at timestamptz not null,
  version integer not null,
  delay_s integer check (delay_s > 0),
  availability text not null,
  fetched_at timestamptz not null,
  confirmed_at timestamptz,
  primary key (conid, bar_size, opened_at, version)
);
comment on table md.bar_delay is 'bars that a delayed or unsubscribed feed gave';
comment on column md.bar_delay.delay_s is 'null: the feed said that it is delayed, and not by how much';
comment on column md.bar_delay.confirmed_at is 'when a feed without delay gave the same bar; null: none has';
"""

GAPS = """
alter table md.gap add column tries integer not null default 0 check (tries >= 0),
  add column next_try_at timestamptz;
comment on column md.gap.next_try_at is 'market time before which a sweep leaves it alone; null: no rest';
"""

HOURS = """
create table md.hours_difference (
  conid bigint not null,
  session_date date not null,
  calendar text not null,
  calendar_hours text not null,
  broker_hours text not null,
  found_at timestamptz not null,
  settled_at timestamptz,
  primary key (conid, session_date)
);
comment on table md.hours_difference is
  'the exchange calendar and the broker do not agree when a contract trades; blocks its orders for that session';
comment on column md.hours_difference.settled_at is 'when they agreed again; null: they still differ';
"""

GRANTS = """
do $$
declare name text;
begin
  foreach name in array array['ibkr_app', 'ibkr_submitter'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant select on md.bar_delay, md.hours_difference to %I', name);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant insert, update on md.bar_delay, md.hours_difference to ibkr_app;
  end if;
end $$;
"""


def upgrade() -> None:
    """Add the columns and tables, and who may write them."""
    for script in (BARS, GAPS, HOURS, GRANTS):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))


def downgrade() -> None:
    """Refused: what was seen stays written down."""
    raise NotImplementedError("there is no way back; restore a backup")

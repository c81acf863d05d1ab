"""Bars in append-only versions, what validation said of them, gaps, and features.

Prices and volumes are `double precision`: they are observations, loaded by the million; money is `numeric`. A bar is
storable however odd its prices are, so that quarantine can show it: what is not a finite number is null. Only a row
that names no instrument or no instant, or contradicts another row of its fetch, goes to `md.rejected_row`. There is
no foreign key from bars to instruments: it costs a look-up a row, and the one writer checks the whole batch at once.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BARS = """
create schema md;

create table md.instrument (
  conid bigint primary key check (conid > 0),
  symbol text not null unique check (symbol <> ''),
  exchange text not null,
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  tick numeric not null check (tick > 0 and tick < 'infinity'),
  lot numeric not null check (lot > 0 and lot < 'infinity')
);

create table md.bar (
  conid bigint not null,
  bar_size text not null check (bar_size in ('1d', '1min')),
  opened_at timestamptz not null,
  version integer not null check (version > 0),
  known_from timestamptz not null,
  known_to timestamptz check (known_to >= known_from),
  open double precision,
  high double precision,
  low double precision,
  close double precision,
  volume double precision,
  source text not null check (source <> ''),
  row_sha bytea not null check (octet_length(row_sha) = 32),
  primary key (conid, bar_size, opened_at, version),
  constraint bar_is_finite check (
    open > '-infinity' and open < 'infinity' and high > '-infinity' and high < 'infinity'
    and low > '-infinity' and low < 'infinity' and close > '-infinity' and close < 'infinity'
    and volume > '-infinity' and volume < 'infinity')
);
comment on column md.bar.open is 'null: the source gave no finite number';
comment on column md.bar.known_to is 'null: the current version';
create unique index bar_current on md.bar (conid, bar_size, opened_at) where known_to is null;

create table md.rejected_row (
  id bigint generated always as identity primary key,
  conid bigint,
  bar_size text not null,
  opened_at timestamptz,
  raw jsonb not null,
  raw_sha bytea not null,
  reason text not null,
  source text not null,
  seen_at timestamptz not null,
  unique (bar_size, source, reason, raw_sha)
);
"""

VERDICTS = """
create table md.bar_verdict (
  conid bigint not null,
  bar_size text not null,
  opened_at timestamptz not null,
  version integer not null,
  verdict text not null check (verdict in ('accepted', 'quarantined')),
  reason text not null default '',
  judged_at timestamptz not null default clock_timestamp(),
  primary key (conid, bar_size, opened_at, version),
  check ((verdict = 'quarantined') = (reason <> ''))
);

create view md.quarantine as
select b.conid, i.symbol, b.bar_size, b.opened_at, b.version, b.open, b.high, b.low, b.close, b.volume, b.source,
  v.reason, v.judged_at
from md.bar b
join md.bar_verdict v using (conid, bar_size, opened_at, version)
left join md.instrument i using (conid)
where b.known_to is null and v.verdict = 'quarantined';

create table md.gap (
  conid bigint not null,
  bar_size text not null,
  session_date date not null,
  cause text not null,
  first_seen timestamptz not null default clock_timestamp(),
  closed_at timestamptz,
  primary key (conid, bar_size, session_date)
);
"""

FEATURES = """
create schema research;

create table research.feature_set (
  feature_digest text primary key,
  names text[] not null check (cardinality(names) > 0),
  created_at timestamptz not null default clock_timestamp()
);

create table research.feature (
  conid bigint not null,
  bar_size text not null,
  opened_at timestamptz not null,
  feature_digest text not null,
  "values" double precision[] not null,
  primary key (conid, bar_size, feature_digest, opened_at)
);
comment on column research.feature."values" is 'in the order of feature_set.names; null where there is no value yet';
"""

GRANTS = """
do $$
declare
  name text;
begin
  foreach name in array array['ibkr_app', 'ibkr_submitter'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant usage on schema platform, md, research to %I', name);
      execute format('grant select on all tables in schema platform, md, research to %I', name);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant insert, update on md.instrument, md.bar_verdict, md.gap, research.feature to ibkr_app;
    grant insert on md.bar, md.rejected_row, research.feature_set to ibkr_app;
    grant update (known_to) on md.bar to ibkr_app;
    grant temporary on database %(database)s to ibkr_app;
  end if;
end $$;
"""


def upgrade() -> None:
    """Create the schemas `md` and `research`, and who may do what in them."""
    database = op.get_bind().exec_driver_sql("select quote_ident(current_database())").scalar()
    for statements in (BARS, VERDICTS, FEATURES, GRANTS.replace("%(database)s", str(database))):
        op.get_bind().exec_driver_sql(statements.replace("%", "%%"))


def downgrade() -> None:
    """Refuse: bars are never thrown away by a tool."""
    raise NotImplementedError("there is no way back; restore a backup")

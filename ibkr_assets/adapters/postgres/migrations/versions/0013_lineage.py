"""What decisions rest on: exact bar versions and feature values of a signal, and the code and settings that decided.

Bars of a feature row are kept as lists by year, named by their content: the years before are the same list in every
row. Null in rows from before, and where nobody said it.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

VERSIONS = """
create table platform.version (
  sha256 text primary key,
  code_sha256 text not null,
  package_version text not null,
  git_commit text,
  config_sha256 text not null,
  config jsonb not null,
  schema_revision text not null,
  first_seen timestamptz not null default clock_timestamp()
);
comment on column platform.version.config is 'settings that decide: no addresses, directories or secrets';
create trigger version_is_append_only before update or delete or truncate on platform.version
  for each statement execute function research.refuse_change();
"""

FEATURES = """
create table research.bar_list (
  sha256 text primary key,
  conid bigint not null,
  bar_size text not null,
  opened_us bigint[] not null check (cardinality(opened_us) > 0),
  versions integer[] not null check (cardinality(versions) = cardinality(opened_us))
);
comment on column research.bar_list.opened_us is 'microseconds since 1970 UTC';
create table research.feature_input (
  sha256 text primary key,
  lists text[] not null check (cardinality(lists) > 0)
);
create trigger bar_list_is_append_only before update or delete or truncate on research.bar_list
  for each statement execute function research.refuse_change();
create trigger feature_input_is_append_only before update or delete or truncate on research.feature_input
  for each statement execute function research.refuse_change();
alter table research.feature add column input_sha256 text;
comment on column research.feature.input_sha256 is 'names the bar versions it was computed from: feature_input';
"""

SIGNALS = """
create table research.signal_basis (
  signal_id bigint primary key references research.signal,
  kind text not null,
  params jsonb not null,
  words text not null,
  numbers jsonb not null,
  bar_size text not null,
  opened_at timestamptz[] not null,
  versions integer[] not null check (cardinality(versions) = cardinality(opened_at)),
  shown jsonb not null,
  features jsonb not null,
  feature_input text references research.feature_input,
  version_sha256 text references platform.version,
  mlflow_page text
);
comment on column research.signal_basis.numbers is 'what the rule compared, at the bar decided on';
comment on column research.signal_basis.shown is 'stored features that the strategy read, one value for each bar';
comment on column research.signal_basis.features is 'all stored features at the bar decided on';
create trigger signal_basis_is_append_only before update or delete or truncate on research.signal_basis
  for each statement execute function research.refuse_change();
"""

ORDERS = """
alter table oms.plan add column signal_id bigint references research.signal,
  add column version_sha256 text references platform.version;
comment on column oms.plan.sizing is 'what gives the same size and orders again, beside signal, NAV and shares';
alter table oms.risk_decision add column version_sha256 text references platform.version;
"""

GRANTS = """
do $$
declare name text;
begin
  foreach name in array array['ibkr_app', 'ibkr_submitter'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant usage on schema platform, research to %I', name);
      execute format('grant select on platform.version, platform.schema_version, research.bar_list,
                      research.feature_input, research.signal_basis to %I', name);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant insert on platform.version, research.bar_list, research.feature_input, research.signal_basis to ibkr_app;
  end if;
  if exists (select from pg_roles where rolname = 'ibkr_submitter') then
    grant insert on platform.version to ibkr_submitter;
  end if;
end $$;
"""


def upgrade() -> None:
    """Add the tables and columns of lineage, and who may write them."""
    for script in (VERSIONS, FEATURES, SIGNALS, ORDERS, GRANTS):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))


def downgrade() -> None:
    """Refused: what decisions rest on stays written down."""
    raise NotImplementedError("there is no way back; restore a backup")

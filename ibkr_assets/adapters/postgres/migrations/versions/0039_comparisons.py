"""What strategies that compare their universe were shown of it: the bar versions of every instrument, once a session.

Null for signals of other strategies, and for those from before.
"""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

TABLES = """
create table research.comparison (
  sha256 text primary key,
  bar_size text not null,
  columns text[] not null check (cardinality(columns) > 0)
);
comment on column research.comparison.columns is 'what the strategy found by comparing, and read beside the bars';
create table research.comparison_bars (
  sha256 text not null references research.comparison,
  conid bigint not null,
  opened_at timestamptz[] not null check (cardinality(opened_at) > 0),
  versions integer[] not null check (cardinality(versions) = cardinality(opened_at)),
  actions jsonb not null,
  primary key (sha256, conid)
);
comment on column research.comparison_bars.actions is 'splits and special dividends that prices were adjusted for';
create index comparison_bars_by_conid on research.comparison_bars (conid);
create trigger comparison_is_append_only before update or delete or truncate on research.comparison
  for each statement execute function research.refuse_change();
create trigger comparison_bars_is_append_only before update or delete or truncate on research.comparison_bars
  for each statement execute function research.refuse_change();
alter table research.signal_basis add column comparison text references research.comparison;
create index signal_basis_by_comparison on research.signal_basis (comparison) where comparison is not null;
"""

GRANTS = """
do $$
declare name text;
begin
  foreach name in array array['ibkr_app', 'ibkr_submitter', 'ibkr_dashboard'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant select on research.comparison, research.comparison_bars to %I', name);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant insert on research.comparison, research.comparison_bars to ibkr_app;
  end if;
end $$;
"""


def upgrade() -> None:
    """Add the tables and the column."""
    for script in (TABLES, GRANTS):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))


def downgrade() -> None:
    """Refused: what decisions rest on stays written down."""
    raise NotImplementedError("there is no way back; restore a backup")

"""Backtests and sweeps that Dagster ran: their figures, their files, and the parts of sweeps that are under way."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

TABLES = """
create table research.past_run (
  run_id text primary key check (run_id <> ''),
  what text not null check (what in ('backtest', 'sweep')),
  title text not null,
  params jsonb not null,
  about jsonb not null,
  metrics jsonb not null,
  mlflow_page text,
  finished_at timestamptz not null default clock_timestamp()
);
comment on column research.past_run.run_id is 'Dagster''s; of a sweep that of the run which was launched';
create index past_run_by_time on research.past_run (finished_at desc);

create table research.past_run_file (
  run_id text not null references research.past_run,
  name text not null check (name <> ''),
  content bytea not null,
  primary key (run_id, name)
);

create table research.sweep_chunk (
  sweep_id text not null check (sweep_id <> ''),
  chunk int not null check (chunk between 1 and chunks),
  chunks int not null,
  config jsonb not null,
  asked_at timestamptz not null default clock_timestamp(),
  dagster_run_id text,
  rows bytea,
  finished_at timestamptz,
  primary key (sweep_id, chunk),
  check ((rows is null) = (finished_at is null))
);
comment on column research.sweep_chunk.rows is 'zlib of JSON: each set with its figures, in the order of the grid';
create index sweep_chunk_due on research.sweep_chunk (asked_at) where finished_at is null;
"""

GRANTS = """
do $$
declare name text;
begin
  foreach name in array array['ibkr_app', 'ibkr_submitter', 'ibkr_dashboard'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant select on research.past_run, research.past_run_file, research.sweep_chunk to %I', name);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant insert, update on research.past_run, research.past_run_file, research.sweep_chunk to ibkr_app;
  end if;
end $$;
"""


def upgrade() -> None:
    """Create the tables."""
    for script in (TABLES, GRANTS):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))


def downgrade() -> None:
    """Refused: results that people have looked at stay."""
    raise NotImplementedError("there is no way back; restore a backup")

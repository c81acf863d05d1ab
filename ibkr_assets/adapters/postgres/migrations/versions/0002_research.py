"""Strategies in append-only versions, and the signals they made.

A signal is never changed: the same decision with another content, say after a corrected bar, is its next revision.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STRATEGIES = """
create function research.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'rows of %.% are never changed; add a new one', tg_table_schema, tg_table_name
    using errcode = 'integrity_constraint_violation';
end $$;

create table research.strategy (
  id text not null check (id ~ '^[A-Za-z0-9_.-]+$'),
  version integer not null check (version > 0),
  kind text not null,
  params jsonb not null check (jsonb_typeof(params) = 'object'),
  symbols text[] not null,
  bar_size text not null,
  schedule text not null,
  sizing text not null,
  risk jsonb not null check (jsonb_typeof(risk) = 'object'),
  account text,
  is_enabled boolean not null,
  created_at timestamptz not null default clock_timestamp(),
  actor text not null check (actor <> ''),
  primary key (id, version)
);
create trigger strategy_is_append_only before update or delete or truncate on research.strategy
  for each statement execute function research.refuse_change();

create view research.current_strategy as
select distinct on (id) * from research.strategy order by id, version desc;
"""

SIGNALS = """
create table research.signal (
  signal_id bigint generated always as identity primary key,
  strategy_id text not null,
  strategy_version integer not null,
  conid bigint not null references md.instrument,
  symbol text not null,
  session_date date not null,
  revision integer not null check (revision > 0),
  as_of timestamptz not null,
  direction text not null check (direction in ('long', 'short', 'flat')),
  strength double precision not null check (strength between 0 and 1),
  reference_price numeric not null check (reference_price > 0 and reference_price < 'infinity'),
  feature_digest text not null,
  input_digest text not null,
  reason text not null,
  dagster_run_id text not null,
  mlflow_run_id text,
  made_at timestamptz not null default clock_timestamp(),
  unique (strategy_id, session_date, conid, revision),
  foreign key (strategy_id, strategy_version) references research.strategy (id, version)
);
create index signal_by_session on research.signal (session_date);
create trigger signal_is_append_only before update or delete or truncate on research.signal
  for each statement execute function research.refuse_change();

create view research.current_signal as
select distinct on (strategy_id, session_date, conid) * from research.signal
order by strategy_id, session_date, conid, revision desc;
"""

GRANTS = """
do $$
begin
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant select on research.strategy, research.current_strategy, research.signal, research.current_signal to ibkr_app;
    grant insert on research.strategy, research.signal to ibkr_app;
  end if;
  if exists (select from pg_roles where rolname = 'ibkr_submitter') then
    grant select on research.strategy, research.current_strategy, research.signal, research.current_signal
      to ibkr_submitter;
  end if;
end $$;
"""


def upgrade() -> None:
    """Create the tables of strategies and signals."""
    for statements in (STRATEGIES, SIGNALS, GRANTS):
        op.get_bind().exec_driver_sql(statements.replace("%", "%%"))


def downgrade() -> None:
    """Refuse: what was decided stays written down."""
    raise NotImplementedError("there is no way back; restore a backup")

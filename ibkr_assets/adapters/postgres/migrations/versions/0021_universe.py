"""Which symbols a run looks at, changed by people: dated by session, append-only.

A change holds from its session on, so a run of an old session sees the universe of then.
"""

from alembic import op

revision = "0021"
down_revision = "0019"
branch_labels = None
depends_on = None

UNIVERSE = """
create table md.universe_change (
  id bigint generated always as identity primary key,
  symbol text not null check (symbol <> '' and symbol = upper(btrim(symbol))),
  is_member boolean not null,
  session_date date not null,
  reason text not null check (reason <> ''),
  actor text not null check (actor <> ''),
  login text not null default session_user,
  changed_at timestamptz not null default clock_timestamp()
);
comment on column md.universe_change.session_date is 'the first session that it holds for';
create trigger universe_change_is_append_only before update or delete or truncate on md.universe_change
  for each statement execute function research.refuse_change();
"""

GRANTS = """
do $$
declare name text;
begin
  foreach name in array array['ibkr_app', 'ibkr_submitter'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant select on md.universe_change to %I', name);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant insert on md.universe_change to ibkr_app;
  end if;
end $$;
"""


def upgrade() -> None:
    """Add the table and who may write it."""
    for script in (UNIVERSE, GRANTS):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))


def downgrade() -> None:
    """Refused: who was looked at when stays written down."""
    raise NotImplementedError("there is no way back; restore a backup")

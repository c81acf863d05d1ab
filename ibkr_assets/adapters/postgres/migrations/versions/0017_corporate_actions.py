"""Splits and special dividends, apart from the bars and in versions: bars stay as they were traded.

An action is never changed. A correction, or taking it back, is its next version.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

ACTIONS = """
create table md.corporate_action (
  conid bigint not null references md.instrument,
  day date not null,
  kind text not null check (kind in ('split', 'cash')),
  version integer not null check (version > 0),
  known_from timestamptz not null,
  ratio numeric check (ratio > 0 and ratio < 'infinity'),
  amount numeric check (amount > 0 and amount < 'infinity'),
  is_withdrawn boolean not null default false,
  source text not null check (source <> ''),
  actor text not null check (actor <> ''),
  primary key (conid, day, kind, version),
  check ((ratio is not null) = (kind = 'split') and (amount is not null) = (kind = 'cash'))
);
comment on column md.corporate_action.day is 'the first session that trades without what was split off or paid';
comment on column md.corporate_action.ratio is 'new shares for one old one';
comment on column md.corporate_action.amount is 'paid a share, in the currency of the instrument';
create trigger corporate_action_is_append_only before update or delete or truncate on md.corporate_action
  for each statement execute function research.refuse_change();
"""

GRANTS = """
do $$
declare name text;
begin
  foreach name in array array['ibkr_app', 'ibkr_submitter'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant select on md.corporate_action to %I', name);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant insert on md.corporate_action to ibkr_app;
  end if;
end $$;
"""


def upgrade() -> None:
    """Add the table and who may write it."""
    for script in (ACTIONS, GRANTS):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))


def downgrade() -> None:
    """Refused: what was known stays written down."""
    raise NotImplementedError("there is no way back; restore a backup")

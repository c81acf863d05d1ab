"""What people do from the dashboard: each act once, by a key of its form, and each kept.

An act is written when it begins and once more when it ends; nothing else about it changes.
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

ACTS = """
create schema dash;
create table dash.act (
  key text primary key check (length(key) between 8 and 200),
  action text not null check (action <> ''),
  subject text not null,
  actor text not null check (actor <> ''),
  role text not null,
  session text not null,
  detail jsonb not null default '{}',
  begun_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  result text,
  problem text,
  check ((ended_at is null) = (result is null and problem is null))
);
create index act_by_time on dash.act (begun_at);

create function dash.guard_act() returns trigger language plpgsql as $$
begin
  if tg_op <> 'UPDATE' or old.ended_at is not null
     or (new.key, new.action, new.subject, new.actor, new.role, new.session, new.detail, new.begun_at)
        is distinct from (old.key, old.action, old.subject, old.actor, old.role, old.session, old.detail, old.begun_at)
  then
    raise exception 'act % is never changed once it ended', old.key;
  end if;
  return new;
end $$;
create trigger guard before update or delete on dash.act for each row execute function dash.guard_act();
create trigger never_emptied before truncate on dash.act for each statement execute function oms.refuse_change();
"""

GRANTS = """
do $$
begin
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant usage on schema dash to ibkr_app;
    grant select, insert on dash.act to ibkr_app;
    grant update (ended_at, result, problem) on dash.act to ibkr_app;
  end if;
end $$;
"""


def upgrade() -> None:
    """Create the schema `dash`."""
    op.execute(ACTS)
    op.execute(GRANTS)


def downgrade() -> None:
    """Refused: what people did stays written down."""
    raise NotImplementedError("the record of acts is never dropped; restore a backup instead")

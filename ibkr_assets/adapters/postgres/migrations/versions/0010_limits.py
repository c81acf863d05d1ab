"""By which limits a decision was made, and when limits were changed, by whom and from where.

A version of the limits is named by its content, so the same limits are one row however often they come back; a change
is a row of its own. A decision keeps the facts it was made on, so that it can be reviewed again by other limits.
"""

from alembic import op

revision = "0010"
down_revision = "0011"
branch_labels = None
depends_on = None

LIMITS = """
create table oms.limits_version (
  sha256 text primary key check (sha256 ~ '^[0-9a-f]{64}$'),
  limits jsonb not null,
  first_seen_at timestamptz not null default clock_timestamp()
);

create table oms.limits_change (
  change_id bigint generated always as identity primary key,
  mode text not null check (mode in ('dry_run', 'sim', 'paper', 'live')),
  sha256 text not null references oms.limits_version,
  actor text not null check (actor <> ''),
  origin text not null check (origin <> ''),
  login text not null default session_user,
  at timestamptz not null default clock_timestamp()
);
create index limits_change_by_mode on oms.limits_change (mode, change_id);

alter table oms.risk_decision
  add column limits_sha256 text references oms.limits_version,
  add column facts jsonb;

do $$
declare name text;
begin
  foreach name in array array['limits_version', 'limits_change'] loop
    execute format('create trigger append_only before update or delete on oms.%I
                    for each row execute function oms.refuse_change()', name);
    execute format('create trigger never_emptied before truncate on oms.%I
                    for each statement execute function oms.refuse_change()', name);
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant select on oms.limits_version, oms.limits_change to ibkr_app;
    grant insert (sha256, limits) on oms.limits_version to ibkr_app;
    grant insert (mode, sha256, actor, origin) on oms.limits_change to ibkr_app;
  end if;
  if exists (select from pg_roles where rolname = 'ibkr_submitter') then
    grant select on oms.limits_version, oms.limits_change to ibkr_submitter;
    grant insert (sha256, limits) on oms.limits_version to ibkr_submitter;
    grant insert (mode, sha256, actor, origin) on oms.limits_change to ibkr_submitter;
  end if;
end $$;
"""


def upgrade() -> None:
    """Both columns are null in decisions from before."""
    op.execute(LIMITS)


def downgrade() -> None:
    """Refused: decisions are append-only, and this is part of them."""
    raise NotImplementedError("the order ledger is never dropped; restore a backup instead")

"""Decisions of people on quarantined bars, append-only; a bar decided on is not judged again.

A decision names a version of a bar, or a row that was no bar. A row can only be rejected: it names no bar to release.
"""

from alembic import op

revision = "0015"
down_revision = "0009"
branch_labels = None
depends_on = None

DECISIONS = """
create table md.quarantine_decision (
  id bigint generated always as identity primary key,
  conid bigint,
  bar_size text,
  opened_at timestamptz,
  version integer,
  rejected_row_id bigint references md.rejected_row,
  decision text not null check (decision in ('release', 'reject')),
  found text not null check (found <> ''),
  reason text not null check (reason <> ''),
  actor text not null check (actor <> ''),
  login text not null default session_user,
  decided_at timestamptz not null default clock_timestamp(),
  foreign key (conid, bar_size, opened_at, version) references md.bar_verdict,
  check (num_nonnulls(conid, bar_size, opened_at, version) = case when rejected_row_id is null then 4 else 0 end),
  check (rejected_row_id is null or decision = 'reject')
);
comment on column md.quarantine_decision.found is 'what validation had said';
create index quarantine_decision_by_bar on md.quarantine_decision (conid, bar_size, opened_at, version, id);
create index quarantine_decision_by_row on md.quarantine_decision (rejected_row_id, id);
create trigger quarantine_decision_is_append_only before update or delete or truncate on md.quarantine_decision
  for each statement execute function research.refuse_change();

create view md.bar_decision as
select distinct on (conid, bar_size, opened_at, version) *
from md.quarantine_decision where conid is not null
order by conid, bar_size, opened_at, version, id desc;
"""

GRANTS = """
do $$
declare name text;
begin
  foreach name in array array['ibkr_app', 'ibkr_submitter'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant select on md.quarantine_decision, md.bar_decision to %I', name);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant insert on md.quarantine_decision to ibkr_app;
  end if;
end $$;
"""


def upgrade() -> None:
    """Add the table, its newest decisions, and who may decide."""
    for script in (DECISIONS, GRANTS):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))


def downgrade() -> None:
    """Refused: what was decided stays written down."""
    raise NotImplementedError("there is no way back; restore a backup")

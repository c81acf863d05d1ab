"""What risk rules ask the ledger quickly: indexes by day, when a contract was described, who runs what, releases.

Shared limits are sums over the ledger's own rows, read under the account's lock: there is no second set of figures
that could drift from them.
"""

from alembic import op

revision = "0009"
down_revision = "0014"
branch_labels = None
depends_on = None

FACTS = """
alter table md.instrument add column resolved_at timestamptz;
comment on column md.instrument.resolved_at is 'when the broker last described the contract; null: before this column';

create index decision_by_day on oms.risk_decision (market_at) where is_approved;
create index call_by_day on oms.wire_call (market_at);
create index call_by_time on oms.wire_call (sent_at);
create index execution_by_day on oms.execution (account_ref, executed_at);
create index snapshot_by_day on oms.account_snapshot (account_ref, market_at);

create table oms.running (
  account_ref text primary key references oms.account,
  code text not null,
  configuration text not null,
  schema_revision text not null,
  at timestamptz not null default clock_timestamp()
);
comment on table oms.running is 'what the submitter of the account runs';

create table oms.risk_release (
  release_id bigint generated always as identity primary key,
  decision_key text not null references oms.order_intent (decision_key),
  code text not null check (code <> ''),
  actor text not null check (actor <> ''),
  reason text not null check (reason <> ''),
  login text not null default session_user,
  at timestamptz not null default clock_timestamp()
);
comment on table oms.risk_release is 'a person says a denial was wrong: the decision may come again, a generation on';
create index release_by_decision on oms.risk_release (decision_key);
create trigger append_only before update or delete on oms.risk_release
  for each row execute function oms.refuse_change();
create trigger never_emptied before truncate on oms.risk_release
  for each statement execute function oms.refuse_change();

do $$
begin
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant select on oms.running, oms.risk_release to ibkr_app;
    grant insert (decision_key, code, actor, reason) on oms.risk_release to ibkr_app;
  end if;
  if exists (select from pg_roles where rolname = 'ibkr_submitter') then
    grant select, insert, update on oms.running to ibkr_submitter;
    grant select on oms.risk_release to ibkr_submitter;
  end if;
end $$;
"""


def upgrade() -> None:
    """Add what the rules read."""
    op.execute(FACTS)


def downgrade() -> None:
    """Refused: releases are part of the ledger."""
    raise NotImplementedError("the order ledger is never dropped; restore a backup instead")

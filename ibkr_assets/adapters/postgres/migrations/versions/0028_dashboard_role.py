"""What the dashboard's own role may do: read, ask, withdraw permission, and close what is held; nothing else.

It writes no bar, signal, call, fill or book, and moves no order that has left. An order it proposes closes a position,
whoever wrote the page: the database checks that it does. It neither arms nor resumes live. A table that is added later
is readable to it; what it writes is granted by name, in the migration that adds the table.
"""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

GUARDS = """
create function oms.guard_dashboard_intent() returns trigger language plpgsql as $$
begin
  if session_user = 'ibkr_dashboard' and not coalesce(oms.reduces(new), false) then
    raise exception 'the dashboard proposes orders that close a position, and no others: % % % of %', new.side,
      new.quantity, new.symbol, new.purpose;
  end if;
  return new;
end $$;
create trigger guard_dashboard before insert on oms.order_intent
  for each row execute function oms.guard_dashboard_intent();

create function oms.guard_dashboard_control() returns trigger language plpgsql as $$
begin
  if session_user = 'ibkr_dashboard' and (new.action in ('arm', 'kill_flatten') or (new.action = 'resume' and exists (
      select from oms.account a where a.mode = 'live'))) then
    raise exception '% is not given from the dashboard; use the command line', new.action;
  end if;
  return new;
end $$;
create trigger guard_dashboard before insert on oms.control
  for each row execute function oms.guard_dashboard_control();
"""

GRANTS = """
do $$
declare name text;
begin
  if not exists (select from pg_roles where rolname = 'ibkr_dashboard') then
    return;
  end if;
  foreach name in array array['platform', 'md', 'research', 'oms', 'dash', 'llm'] loop
    execute format('grant usage on schema %I to ibkr_dashboard', name);
    execute format('grant select on all tables in schema %I to ibkr_dashboard', name);
    execute format('alter default privileges in schema %I grant select on tables to ibkr_dashboard', name);
  end loop;
  revoke select on oms.account from ibkr_dashboard;
  grant select (account_ref, mode, registered_at) on oms.account to ibkr_dashboard;
  -- Requests, and what people did.
  grant insert on dash.act to ibkr_dashboard;
  grant update (ended_at, result, problem) on dash.act to ibkr_dashboard;
  grant insert (scope, action, actor, session, reason, expires_at, evidence) on oms.control to ibkr_dashboard;
  grant insert (account_ref, requested_by) on oms.recon_request to ibkr_dashboard;
  grant insert (intent_id, actor, session, reason, seen_state, seen_filled) on oms.cancel_request to ibkr_dashboard;
  grant insert (intent_id, actor, session, reason, unknown_since) on oms.doubt_statement to ibkr_dashboard;
  grant insert on oms.alert to ibkr_dashboard;
  grant update (resolved_at, acknowledged_at, acknowledged_by) on oms.alert to ibkr_dashboard;
  -- An order that closes, with its review; the account's row is locked meanwhile.
  grant insert (account_ref), update (registered_at) on oms.account to ibkr_dashboard;
  grant insert on oms.order_intent, oms.risk_decision, oms.reservation, platform.version to ibkr_dashboard;
  grant update (state, version, reason, cause, cause_detail) on oms.order_intent to ibkr_dashboard;
  grant insert (sha256, limits) on oms.limits_version to ibkr_dashboard;
  -- Versions of strategies, and decisions about bars held back.
  grant insert on research.strategy, md.quarantine_decision to ibkr_dashboard;
end $$;
"""


def upgrade() -> None:
    """Grant where the role exists; the guards hold everywhere."""
    op.execute(GUARDS)
    op.execute(GRANTS)


def downgrade() -> None:
    """Refused: without its grants the dashboard would need another role's."""
    raise NotImplementedError("the dashboard's role is never taken back; restore a backup instead")

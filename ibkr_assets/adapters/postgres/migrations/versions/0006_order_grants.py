"""Which role may do what in the order ledger; a database without the roles works for its one user."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

GRANTS = """
do $$
begin
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant usage on schema oms to ibkr_app;
    grant select on all tables in schema oms to ibkr_app;
    revoke select on oms.account from ibkr_app;
    grant select (account_ref, mode, registered_at) on oms.account to ibkr_app;
    grant insert (account_ref) on oms.account to ibkr_app;
    grant update (registered_at) on oms.account to ibkr_app;
    grant insert on oms.plan, oms.order_intent, oms.risk_decision, oms.reservation, oms.control to ibkr_app;
    grant update (state, version, reason, cause, cause_detail) on oms.order_intent to ibkr_app;
  end if;
  if exists (select from pg_roles where rolname = 'ibkr_submitter') then
    grant usage on schema oms to ibkr_submitter;
    grant select, insert, update on all tables in schema oms to ibkr_submitter;
  end if;
end $$;
"""


def upgrade() -> None:
    """Grant where the roles exist."""
    op.execute(GRANTS)


def downgrade() -> None:
    """Refused: without its grants the ledger has no owner of its writes."""
    raise NotImplementedError("the grants of the order ledger are never taken back; restore a backup instead")

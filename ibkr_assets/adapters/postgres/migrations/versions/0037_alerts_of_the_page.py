"""The dashboard raises a test alert: raising one may count up another that is open, which is a change of its row."""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

GRANT = """
do $$ begin
  if exists (select from pg_roles where rolname = 'ibkr_dashboard') then
    grant update (repeats, last_seen_at) on oms.alert to ibkr_dashboard;
  end if;
end $$;
"""


def upgrade() -> None:
    """Grant it."""
    op.execute(GRANT)


def downgrade() -> None:
    """Refused, as with everything of the dashboard's role."""
    raise NotImplementedError("the grants of the dashboard are never taken back; restore a backup instead")

"""The dashboard decides on bars in quarantine: a decision is a row, and it turns the verdict on its bar."""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

GRANTS = """
do $$
begin
  if exists (select from pg_roles where rolname = 'ibkr_dashboard') then
    grant update (verdict, reason, judged_at) on md.bar_verdict to ibkr_dashboard;
  end if;
end $$;
"""


def upgrade() -> None:
    """Grant it."""
    op.execute(GRANTS)


def downgrade() -> None:
    """Refused, as for the role."""
    raise NotImplementedError("the grants of the dashboard are never taken back; restore a backup instead")

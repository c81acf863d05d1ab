"""A decision on a bar counts as a change of its bars, whoever takes it: the dashboard writes that count too."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

GRANTS = """
do $$
begin
  if exists (select from pg_roles where rolname = 'ibkr_dashboard') then
    grant insert, update on md.bar_epoch to ibkr_dashboard;
  end if;
end $$;
"""


def upgrade() -> None:
    """Grant it."""
    op.execute(GRANTS)


def downgrade() -> None:
    """Refused, as for the role."""
    raise NotImplementedError("the grants of the dashboard are never taken back; restore a backup instead")

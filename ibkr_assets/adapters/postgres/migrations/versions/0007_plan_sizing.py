"""What a planned signal was sized by, beside what came of it: the sizing as written, and the measures of its bar."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Null in plans from before, and where nobody said it."""
    op.execute("alter table oms.plan add column sizing jsonb")


def downgrade() -> None:
    """Refused: plans are append-only, and this is part of them."""
    raise NotImplementedError("the order ledger is never dropped; restore a backup instead")

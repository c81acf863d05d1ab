"""An order that was sent once, and approved to be sent again, ends as NOT_PLACED when it is not: it did leave."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the move."""
    op.execute("insert into oms.transition (from_state, to_state) values ('APPROVED', 'NOT_PLACED')")


def downgrade() -> None:
    """Refused: orders may stand so."""
    raise NotImplementedError("moves that orders may have made are never dropped; restore a backup instead")

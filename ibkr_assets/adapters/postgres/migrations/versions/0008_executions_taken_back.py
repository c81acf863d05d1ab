"""A full order whose executions the broker took back, or corrected downwards, is a cancelled one with what stands."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Allow the one move out of FILLED."""
    op.execute("insert into oms.transition (from_state, to_state) values ('FILLED', 'CANCELLED')")


def downgrade() -> None:
    """Refused: allowed moves are never taken back from a ledger that may hold them."""
    raise NotImplementedError("a ledger may hold this move already; restore a backup instead")

"""Pages are told of rows that changed, not of statements that changed none.

Alerts and differences are settled by statements that run every moment and mostly find nothing; a trigger of a statement
speaks all the same. A repeat of an open alert is no news either.
"""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

TELL = """
drop trigger tell_pages on oms.alert;
drop trigger tell_pages on oms.recon_break;

create trigger tell_pages_of_new after insert on oms.alert for each row execute function oms.tell_pages();
create trigger tell_pages_of_end after update on oms.alert for each row
  when ((old.resolved_at, old.acknowledged_at) is distinct from (new.resolved_at, new.acknowledged_at))
  execute function oms.tell_pages();
create trigger tell_pages_of_new after insert on oms.recon_break for each row execute function oms.tell_pages();
create trigger tell_pages_of_change after update on oms.recon_break for each row
  when (old is distinct from new) execute function oms.tell_pages();
"""


def upgrade() -> None:
    """Replace the two triggers."""
    op.execute(TELL)


def downgrade() -> None:
    """Refused, as with everything of the ledger."""
    raise NotImplementedError("restore a backup instead")

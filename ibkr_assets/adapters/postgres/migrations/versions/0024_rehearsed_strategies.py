"""A strategy may be set to rehearse: it decides and its orders are reviewed, and none of them is ever sent.

What was stored before traded, so that is what is said of it. The view is made again because its columns were fixed
when it was.
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

REHEARSED = """
alter table research.strategy add column is_dry_run boolean not null default false;
create or replace view research.current_strategy as
select distinct on (id) * from research.strategy order by id, version desc;
"""


def upgrade() -> None:
    """Add the column; whoever may read or add strategies may read and say this of them."""
    op.execute(REHEARSED)


def downgrade() -> None:
    """Refused: a strategy that rehearses would trade."""
    raise NotImplementedError("there is no way back; restore a backup")

"""A refusal at departure is a decision of its own, and a snapshot keeps the cash that the broker says has settled.

An order has at most two decisions: the one before approval, and the one that refused it when it was about to leave.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

DECISIONS = """
alter table oms.risk_decision
  add column heard text not null default 'approval' check (heard in ('approval', 'departure')),
  drop constraint risk_decision_pkey,
  add primary key (intent_id, heard),
  add constraint departure_refuses check (heard = 'approval' or not is_approved);

alter table oms.account_snapshot add column broker_settled_cash_usd numeric(20,6);
comment on column oms.account_snapshot.broker_settled_cash_usd is
  'cash whose trades have settled, by the broker; purchases count from the trade on';
"""


def upgrade() -> None:
    """Decisions of before are of the approval; snapshots of before do not know the settled cash."""
    op.execute(DECISIONS)


def downgrade() -> None:
    """Refused: decisions are append-only, and this is part of them."""
    raise NotImplementedError("the order ledger is never dropped; restore a backup instead")

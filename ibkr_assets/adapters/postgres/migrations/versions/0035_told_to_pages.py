"""What open pages are told of: every move of an order, the account's value, signals, differences, alerts.

On a channel of their own, so that the submitter is woken by what it must act on alone. A notice says what kind of thing
changed and nothing of it.
"""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

TELL = """
create function oms.tell_pages() returns trigger language plpgsql as $$
begin
  perform pg_notify('pages', tg_table_name);
  return null;
end $$;

do $$
declare name text;
begin
  foreach name in array array['oms.order_event', 'oms.account_snapshot', 'oms.recon_run', 'oms.recon_break',
                              'oms.alert', 'research.signal', 'research.strategy', 'dash.act'] loop
    execute format('create trigger tell_pages after insert or update on %s
                    for each statement execute function oms.tell_pages()', name);
  end loop;
end $$;
"""


def upgrade() -> None:
    """Add the triggers."""
    op.execute(TELL)


def downgrade() -> None:
    """Refused, as with everything of the ledger."""
    raise NotImplementedError("restore a backup instead")

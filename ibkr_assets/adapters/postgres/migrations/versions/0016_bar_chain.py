"""One btree on the bars instead of two: that one version is current follows from the chain of versions.

Version n + 1 can only come when version n has been closed, and a closed version is never changed. The rule is checked
for corrections only, which are few; a second unique index would be paid for by every bar.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

CHAIN = """
create function md.refuse_broken_chain() returns trigger language plpgsql as $$
begin
  if not exists (
    select from md.bar b where b.conid = new.conid and b.bar_size = new.bar_size and b.opened_at = new.opened_at
      and b.version = new.version - 1 and b.known_to is not null) then
    raise exception 'version % of bar %, %, %: the version before it is not there or still current',
      new.version, new.conid, new.bar_size, new.opened_at using errcode = 'integrity_constraint_violation';
  end if;
  return null;
end $$;
create function md.refuse_change_of_closed() returns trigger language plpgsql as $$
begin
  raise exception 'version % of bar %, %, % was closed and is never changed',
    old.version, old.conid, old.bar_size, old.opened_at using errcode = 'integrity_constraint_violation';
end $$;
create constraint trigger bar_chain after insert on md.bar for each row when (new.version > 1)
  execute function md.refuse_broken_chain();
create trigger bar_closed before update on md.bar for each row when (old.known_to is not null)
  execute function md.refuse_change_of_closed();
drop index md.bar_current;
"""


def upgrade() -> None:
    """Replace the index of current versions by the rule that it kept."""
    op.get_bind().exec_driver_sql(CHAIN.replace("%", "%%"))


def downgrade() -> None:
    """Refused: a schema goes forward only."""
    raise NotImplementedError("there is no way back; restore a backup")

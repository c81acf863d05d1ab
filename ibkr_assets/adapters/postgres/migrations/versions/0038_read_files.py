"""Files of bars that were imported: what each was recognised by, so that one that did not change is not read again."""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

TABLE = """
create table md.read_file (
  place text not null check (place <> ''),
  bar_size text not null,
  name text not null check (name <> ''),
  content_sha256 bytea not null check (length(content_sha256) = 32),
  size_bytes bigint not null check (size_bytes >= 0),
  checksum text not null,
  etag text not null,
  calendar text not null,
  bars bigint not null check (bars >= 0),
  unreadable bigint not null check (unreadable >= 0),
  read_at timestamptz not null,
  primary key (place, bar_size, name)
);
comment on table md.read_file is 'a row stands for a file whose rows are stored and judged, as it was then';
comment on column md.read_file.checksum is 'what the checksum file beside it said; empty without one';
comment on column md.read_file.etag is 'what an object store called this content; empty for a local file';
comment on column md.read_file.calendar is 'by which its dates became instants';
comment on column md.read_file.bars is 'rows that were bars; unreadable ones were kept in md.rejected_row';
"""

GRANTS = """
do $$
declare name text;
begin
  foreach name in array array['ibkr_app', 'ibkr_submitter', 'ibkr_dashboard'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant select on md.read_file to %I', name);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant insert, update on md.read_file to ibkr_app;
  end if;
end $$;
"""


def upgrade() -> None:
    """Create the table."""
    for script in (TABLE, GRANTS):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))


def downgrade() -> None:
    """Refused, as everywhere: what was noted of files stays."""
    raise NotImplementedError("there is no way back; restore a backup")

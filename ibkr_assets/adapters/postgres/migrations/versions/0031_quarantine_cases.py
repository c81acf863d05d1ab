"""What is or was in quarantine as one list, bars and rows that were none, for the command line and for pages alike."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

CASES = """
create view md.quarantine_case as
  select format('%s-%s-%s-%s', b.conid, b.bar_size,
      to_char(b.opened_at at time zone 'UTC', 'YYYYMMDD"T"HH24MISS"Z"'), b.version) as id,
    i.symbol, b.bar_size, b.opened_at,
    jsonb_build_object('open', b.open, 'high', b.high, 'low', b.low, 'close', b.close, 'volume', b.volume) as values,
    b.source, coalesce(d.found, v.reason) as found, v.judged_at as seen_at,
    d.decision, d.actor, d.reason, d.decided_at
  from md.bar b
  join md.bar_verdict v using (conid, bar_size, opened_at, version)
  left join md.bar_decision d using (conid, bar_size, opened_at, version)
  left join md.instrument i using (conid)
  where b.known_to is null and (v.verdict = 'quarantined' or d.decision is not null)
  union all
  select 'row-' || r.id, coalesce(i.symbol, r.raw->>'symbol'), r.bar_size, r.opened_at,
    jsonb_build_object('open', r.raw->'open', 'high', r.raw->'high', 'low', r.raw->'low', 'close', r.raw->'close',
      'volume', r.raw->'volume'),
    r.source, r.reason, r.seen_at, d.decision, d.actor, d.reason, d.decided_at
  from md.rejected_row r
  left join lateral (
    select * from md.quarantine_decision q where q.rejected_row_id = r.id order by q.id desc limit 1) d on true
  left join md.instrument i on i.conid = r.conid;
comment on view md.quarantine_case is 'bars in quarantine or released from it, and rows that were no bars';
"""

GRANTS = """
do $$
declare name text;
begin
  foreach name in array array['ibkr_app', 'ibkr_submitter', 'ibkr_dashboard'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant select on md.quarantine_case to %I', name);
    end if;
  end loop;
end $$;
"""


def upgrade() -> None:
    """Add the view."""
    for script in (CASES, GRANTS):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))


def downgrade() -> None:
    """Refused, as before."""
    raise NotImplementedError("there is no way back; restore a backup")

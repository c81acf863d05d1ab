"""The few bars in quarantine have an index of their own: looking for them joined all bars and all verdicts."""

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

CASES = """
create index bar_verdict_quarantined on md.bar_verdict (conid, bar_size, opened_at, version)
  where verdict = 'quarantined';
create or replace view md.quarantine_case as
  select format('%s-%s-%s-%s', b.conid, b.bar_size,
      to_char(b.opened_at at time zone 'UTC', 'YYYYMMDD"T"HH24MISS"Z"'), b.version) as id,
    i.symbol, b.bar_size, b.opened_at,
    jsonb_build_object('open', b.open, 'high', b.high, 'low', b.low, 'close', b.close, 'volume', b.volume) as values,
    b.source, coalesce(d.found, v.reason) as found, v.judged_at as seen_at,
    d.decision, d.actor, d.reason, d.decided_at
  from (
    select conid, bar_size, opened_at, version from md.bar_verdict where verdict = 'quarantined'
    union
    select conid, bar_size, opened_at, version from md.quarantine_decision where conid is not null
  ) as kept
  join md.bar b using (conid, bar_size, opened_at, version)
  join md.bar_verdict v using (conid, bar_size, opened_at, version)
  left join md.bar_decision d using (conid, bar_size, opened_at, version)
  left join md.instrument i using (conid)
  where b.known_to is null
  union all
  select 'row-' || r.id, coalesce(i.symbol, r.raw->>'symbol'), r.bar_size, r.opened_at,
    jsonb_build_object('open', r.raw->'open', 'high', r.raw->'high', 'low', r.raw->'low', 'close', r.raw->'close',
      'volume', r.raw->'volume'),
    r.source, r.reason, r.seen_at, d.decision, d.actor, d.reason, d.decided_at
  from md.rejected_row r
  left join lateral (
    select * from md.quarantine_decision q where q.rejected_row_id = r.id order by q.id desc limit 1) d on true
  left join md.instrument i on i.conid = r.conid;
"""


def upgrade() -> None:
    """Add the index, and have the view begin with what it finds."""
    op.get_bind().exec_driver_sql(CASES.replace("%", "%%"))


def downgrade() -> None:
    """Refused, as before."""
    raise NotImplementedError("there is no way back; restore a backup")

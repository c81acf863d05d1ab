"""Whether what a stored signal rests on is still what it was: every bar version that it read, and no other beside them.

What goes here: the question, asked of the store. What does not: what follows from the answer (`execution.proof`), and
what the rules of an order ask of the newest bars (`adapters.postgres.circumstances`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, LiteralString

from ibkr_assets.adapters.postgres.connection import Connection, Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.market.quarantine import BarId

if TYPE_CHECKING:
    from ibkr_assets.domain.signal import Signal

NO_BASIS = "it is not known which bars it rests on"
NO_FEATURES = "it is not known which bars its features rest on"

NO_COMPARISON = "it is not known which bars it was compared by"

#: Stored features are what a strategy was shown beside the bars and what it found by comparing.
WANTED = """
create temporary table wanted on commit drop as
select w.place, s.conid, n.signal_id, n.bar_size, n.opened_at, n.versions, n.feature_input,
  n.opened_at[cardinality(n.opened_at)] as last, n.comparison,
  n.shown - coalesce(c.columns, '{}') <> '{}' as has_features
from unnest(%(places)s::int[], %(strategies)s::text[], %(conids)s::bigint[], %(days)s::date[])
  as w (place, strategy_id, conid, session_date)
left join research.current_signal s using (strategy_id, conid, session_date)
left join research.signal_basis n using (signal_id)
left join research.comparison c on c.sha256 = n.comparison
"""
WITHOUT_RECORD = """
select place, case when signal_id is null then %(no_basis)s
  when has_features and feature_input is null then %(no_features)s else %(no_comparison)s end
from wanted w
where signal_id is null or has_features and feature_input is null or comparison is not null
  and not exists (select from research.comparison_bars b where b.sha256 = w.comparison)
"""
#: What was read at each place, an instrument a row. What many signals were compared by has one place for all of them,
#: below zero.
SHARED = "select place, -dense_rank() over (order by comparison) from wanted where comparison is not null"
READ = """
create temporary table read on commit drop as
select place, conid, bar_size, opened_at, versions, last from wanted where signal_id is not null
union all
select p.place, b.conid, c.bar_size, b.opened_at, b.versions, b.opened_at[cardinality(b.opened_at)]
from (select distinct comparison, -dense_rank() over (order by comparison) as place
      from wanted where comparison is not null) as p
join research.comparison c on c.sha256 = p.comparison
join research.comparison_bars b on b.sha256 = p.comparison
"""
#: A feature row rests on the bars of its lists up to its own; what it was computed from is one name for many rows.
INPUTS = """
create temporary table inputs on commit drop as
select r.place, r.conid, r.bar_size, b.opened_at, b.version
from read r, unnest(r.opened_at, r.versions) as b (opened_at, version)
union
select w.place, l.conid, l.bar_size, 'epoch'::timestamptz + b.opened_us * interval '1 microsecond', b.version
from wanted w
join research.feature_input f on f.sha256 = w.feature_input
join research.bar_list l on l.sha256 = any(f.lists), unnest(l.opened_us, l.versions) as b (opened_us, version)
where w.has_features and 'epoch'::timestamptz + b.opened_us * interval '1 microsecond' <= w.last
"""
#: Bars between those that were read, and were not. What is not there cannot be estimated from what is, so the search
#: goes instrument by instrument, whatever the planner knows of either table.
UNREAD = """
create temporary table unread on commit drop as
select r.place, r.conid, r.bar_size, b.opened_at
from read r cross join lateral (
  select b.opened_at from md.bar b
  where b.conid = r.conid and b.bar_size = r.bar_size and b.known_to is null
    and b.opened_at between r.opened_at[1] and r.last
  except select unnest(r.opened_at)
) as b
"""
#: The hash of the bar `b`, as `bar_rows.row_shas` makes it: asked of the server, which need not send a million bars.
ROW_SHA: LiteralString = """sha256(
  convert_to(b.bar_size, 'UTF8') || int8send(b.conid) || int8send((extract(epoch from b.opened_at) * 1000000)::bigint)
  || float8send(coalesce(b.open, 'NaN')) || float8send(coalesce(b.high, 'NaN')) || float8send(coalesce(b.low, 'NaN'))
  || float8send(coalesce(b.close, 'NaN')) || float8send(coalesce(b.volume, 'NaN')))"""
#: The newest fault of each place: of the bars that were read, and of bars between them that were not.
FAULTS = """
select distinct on (place) place, conid, bar_size, opened_at, version, fault from (
  select i.*, case
      when b.conid is null then 'is not stored'
      when b.known_to is not null then 'was corrected after the signal'
      when v.verdict is null then 'is not judged'
      when v.verdict <> 'accepted' then 'is in quarantine: ' || v.reason
      when d.conid is not null then 'came from a delayed feed ('
        || d.availability || coalesce(', ' || d.delay_s || ' s', '') || ')'
      when b.row_sha <> {row_sha} then 'was altered: its values do not give its hash'
    end as fault
  from inputs i
  left join md.bar b using (conid, bar_size, opened_at, version)
  left join md.bar_verdict v using (conid, bar_size, opened_at, version)
  left join md.bar_delay d on (d.conid, d.bar_size, d.opened_at, d.version)
    = (i.conid, i.bar_size, i.opened_at, i.version) and d.confirmed_at is null
  union all
  select u.place, b.conid, b.bar_size, b.opened_at, b.version, case
      when v.verdict = 'accepted' then 'was accepted after the signal'
      when v.verdict is null then 'is not judged'
      else 'is in quarantine: ' || v.reason
    end
  from unread u
  join md.bar b on b.conid = u.conid and b.bar_size = u.bar_size and b.opened_at = u.opened_at and b.known_to is null
  left join md.bar_verdict v
    on (v.conid, v.bar_size, v.opened_at, v.version) = (b.conid, b.bar_size, b.opened_at, b.version)
  left join md.bar_decision d
    on (d.conid, d.bar_size, d.opened_at, d.version) = (b.conid, b.bar_size, b.opened_at, b.version)
  where d.decision is distinct from 'reject'
) as found
where fault is not null
order by place, opened_at desc
""".replace("{row_sha}", ROW_SHA)
HOURS = """
select w.place, format('the broker and the calendar %%s differ on %%s: calendar %%s, broker %%s',
  h.calendar, h.session_date, h.calendar_hours, h.broker_hours)
from unnest(%(places)s::int[], %(conids)s::bigint[]) as w (place, conid)
join md.hours_difference h using (conid)
where h.session_date = %(order_day)s and h.settled_at is null
"""


class PostgresProofs:
    """Proofs of signals. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def input_faults(self, signals: Sequence[Signal], order_day: date | None = None) -> dict[Signal, str]:
        """Signals that do not rest on proven bars any more, each with its newest fault and the bar's id.

        Proven is the version that the signal read while it is the current one, accepted, not from a delayed feed, and
        of the values that its hash was made of. A bar between those that it read and that it has not seen is a fault
        too, unless a person has rejected it. What a strategy compared counts for each of its signals, whichever
        instrument's bar it is. A signal of which it is not known what it read has no proof. With `order_day` neither
        has one whose contract trades on that day at other hours for the broker than the calendar's.
        """
        arguments = {
            "places": list(range(len(signals))), "strategies": [s.strategy_id for s in signals],
            "conids": [s.conid for s in signals], "days": [s.session_date for s in signals],
            "order_day": order_day,
        }  # fmt: skip
        with self._database.connect() as connection:
            connection.execute(WANTED, arguments)
            found = dict(_without_record(connection))
            connection.execute(READ)
            connection.execute(INPUTS)
            connection.execute(UNREAD)
            connection.execute("analyze inputs, unread")
            of_place = {place: _describe(*bar) for place, *bar in connection.execute(FAULTS).fetchall()}
            shared = dict(connection.execute(SHARED).fetchall())
            for place in range(len(signals)):
                own = of_place.get(place) or of_place.get(shared.get(place, place))
                if own is not None:
                    found.setdefault(place, own)
            for place, text in connection.execute(HOURS, arguments).fetchall():
                found.setdefault(place, text)
            connection.execute("drop table wanted, read, inputs, unread")
        return {signals[place]: text for place, text in found.items()}


def _without_record(connection: Connection) -> list[tuple[int, str]]:
    texts = {"no_basis": NO_BASIS, "no_features": NO_FEATURES, "no_comparison": NO_COMPARISON}
    return [(place, text) for place, text in connection.execute(WITHOUT_RECORD, texts).fetchall()]


def _describe(conid: int, size: str, opened_at: datetime, version: int, fault: str) -> str:
    return f"bar {BarId(conid, BarSize(size), opened_at, version)} of {opened_at.date()} {fault}"

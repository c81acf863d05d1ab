"""What must be true of the order ledger at any time, each as a query that returns the rows that contradict it.

The guards of the database keep most of these from being broken; the queries prove it, also for a database that was
restored, or that somebody wrote to by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.transactions import transaction

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database


@dataclass(frozen=True, slots=True)
class Invariant:
    """One rule: its id, what it says, and a query for the rows that break it."""

    id: str
    name: str
    query: str


INVARIANTS = (
    Invariant(
        "I1",
        "one client order id has executions of one broker order only",
        "select client_order_id from oms.execution_current where client_order_id is not null "
        "group by account_ref, client_order_id having count(distinct broker_order_id) > 1",
    ),
    Invariant(
        "I2",
        "no order is filled beyond its quantity",
        "select i.client_order_id from oms.order_intent i join oms.execution_current e using (intent_id) "
        "group by i.intent_id having sum(e.quantity) > i.quantity",
    ),
    Invariant(
        "I3",
        "an order's filled quantity is the sum of its executions",
        "select i.client_order_id from oms.order_intent i left join oms.execution_current e using (intent_id) "
        "group by i.intent_id having i.filled <> coalesce(sum(e.quantity), 0)",
    ),
    Invariant(
        "I4",
        "FILLED is full, and full is FILLED",
        "select client_order_id from oms.order_intent where (state = 'FILLED') <> (filled >= quantity)",
    ),
    Invariant(
        "I5",
        "an order past APPROVED has a place call or was taken over, one that never left has none that was sent",
        "select i.client_order_id from oms.order_intent i "
        "left join lateral (select count(*) as calls, count(*) filter (where w.outcome is distinct from 'not_sent') "
        "as sent from oms.wire_call w where w.intent_id = i.intent_id and w.kind = 'place') w on true "
        "where (i.state in ('PROPOSED', 'DENIED', 'EXPIRED_UNSENT') and w.sent > 0) "
        "or (i.state not in ('PROPOSED', 'APPROVED', 'DENIED', 'EXPIRED_UNSENT') and w.calls = 0 "
        "and not exists (select from oms.adoption a where a.intent_id = i.intent_id))",
    ),
    Invariant(
        "I6",
        "a reservation is open exactly while its order holds risk",
        "select i.client_order_id from oms.order_intent i join oms.state s on s.name = i.state "
        "where s.holds_risk <> exists (select from oms.reservation r where r.intent_id = i.intent_id "
        "and r.released_at is null)",
    ),
    Invariant(
        "I7",
        "a reservation is of its order's quantity, and an approval or denial says why",
        "select i.client_order_id from oms.order_intent i left join oms.reservation r using (intent_id) "
        "left join oms.risk_decision d on d.intent_id = i.intent_id and d.heard = 'approval' "
        "where r.quantity <> i.quantity "
        "or (r.intent_id is not null and not coalesce(d.is_approved, false) "
        "and not exists (select from oms.adoption a where a.intent_id = i.intent_id)) "
        "or (i.state = 'DENIED' and d.intent_id is null)",
    ),
    Invariant(
        "I8",
        "nothing left after its validity, or while permission was withdrawn",
        "select w.call_id from oms.wire_call w join oms.order_intent i using (intent_id) "
        "where w.kind = 'place' and w.outcome is distinct from 'not_sent' and (w.market_at >= i.valid_until or exists ("
        "select from oms.control c where (c.action = 'disarm' or (c.action like 'kill%' and i.purpose <> 'reduce')) "
        "and c.at < w.sent_at "
        "and c.scope in ('global', 'account:' || i.account_ref, 'strategy:' || i.strategy_id, 'conid:' || i.conid) "
        "and not exists (select from oms.control r where r.scope = c.scope and r.control_id > c.control_id "
        "and r.at < w.sent_at and (r.action = 'resume' or (r.action = 'arm' and c.action = 'disarm')))))",
    ),
    Invariant(
        "I9",
        "the event log replays to the present state, without a step missing",
        "select i.client_order_id from oms.order_intent i where i.state is distinct from "
        "(select e.to_state from oms.order_event e where e.intent_id = i.intent_id order by e.seq desc limit 1) "
        "union all select e.intent_id::text from (select intent_id, from_state, "
        "lag(to_state) over (partition by intent_id order by seq) as before from oms.order_event) e "
        "where e.from_state is distinct from e.before",
    ),
    Invariant(
        "I10",
        "the hash chain of events is unbroken",
        "select c.seq from (select e.seq, e.previous_sha256, lag(e.sha256) over (order by e.seq) as before, "
        "lag(e.seq) over (order by e.seq) as seq_before, e.sha256 = oms.event_digest(e) as is_intact "
        "from oms.order_event e) c where c.previous_sha256 is distinct from c.before or not c.is_intact "
        "or c.seq <> coalesce(c.seq_before, 0) + 1",
    ),
    Invariant(
        "I11",
        "every call that may have left is counted, and a second one had two looks before it, the settle time apart",
        # Evidence that does not say what the settle time was is held to the default of half a minute.
        "select i.client_order_id from oms.order_intent i where i.send_count <> (select count(*) from oms.wire_call w "
        "where w.intent_id = i.intent_id and w.kind = 'place' and w.outcome is distinct from 'not_sent') "
        "or (i.send_count > 1 and not exists (select from oms.order_event e where e.intent_id = i.intent_id "
        "and e.from_state = 'UNKNOWN' and e.to_state = 'APPROVED' and e.cause = 'evidence' "
        "and (select count(*) > 1 and extract(epoch from max(a.observed_at) - min(a.observed_at)) >= "
        "coalesce((e.detail ->> 'settle_s')::numeric, 30) - 0.001 from oms.absence_observation a "
        "where a.intent_id = i.intent_id and a.observed_at < e.at "
        "and a.is_ready and a.is_snapshot and a.is_primed and a.is_position_unchanged)))",
    ),
    Invariant(
        "I12",
        "no execution under our prefix is without an intent",
        "select execution_id from oms.execution_current where intent_id is null and client_order_id like 'q1-%'",
    ),
    Invariant(
        "I13",
        "every send of mode live was under an unexpired arm of its account",
        "select w.call_id from oms.wire_call w join oms.order_intent i using (intent_id) where i.mode = 'live' "
        "and w.kind = 'place' and w.outcome is distinct from 'not_sent' and not exists (select from oms.control c "
        "where c.scope = 'account:' || i.account_ref and c.action = 'arm' and c.at <= w.sent_at "
        "and c.expires_at > w.sent_at and not exists (select from oms.control d where d.scope in (c.scope, 'global') "
        "and d.control_id > c.control_id and d.at <= w.sent_at "
        "and (d.action = 'disarm' or (i.purpose <> 'reduce' and d.action <> 'arm'))))",
    ),
    Invariant(
        "I14",
        "a rehearsal never left the machine",
        "select w.call_id from oms.wire_call w join oms.order_intent i using (intent_id) where i.mode = 'dry_run' "
        "and w.outcome is not null and w.outcome <> 'not_sent'",
    ),
    Invariant(
        "I15",
        "an approved order of the assets has its decision, its plan and the signal of that plan",
        "select i.client_order_id from oms.order_intent i join oms.reservation r using (intent_id) "
        "where i.created_by like 'dagster:%' and not exists (select from oms.risk_decision d "
        "join oms.plan p on (p.account_ref, p.mode, p.strategy_id, p.signal_bar_end, p.conid) "
        "= (i.account_ref, i.mode, i.strategy_id, i.signal_bar_end, i.conid) "
        "join research.signal s on (s.strategy_id, s.conid, s.as_of, s.direction, s.input_digest) "
        "= (p.strategy_id, p.conid, p.signal_bar_end, p.signal ->> 'direction', p.signal ->> 'input_digest') "
        "where d.intent_id = i.intent_id and d.is_approved)",
    ),
)


def check_invariants(database: Database) -> list[dict[str, Any]]:
    """Every invariant with how many rows contradict it and the first few of them."""
    results = []
    with transaction(database) as cursor:
        for invariant in INVARIANTS:
            rows = cursor.execute(invariant.query).fetchall()
            examples = [str(next(iter(row.values()))) for row in rows[:5]]
            results.append({"id": invariant.id, "name": invariant.name, "violations": len(rows), "examples": examples})
    return results

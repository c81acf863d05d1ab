"""What is known of one order before anything is locked: its contract, its bars and features, and who runs what.

What goes here: reading it. What does not: what orders of the account share (`risk_facts`), and the age of a decision,
which the exchange's calendar tells (`execution.propose`). A figure that is not stored is None.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import psycopg
from psycopg.rows import DictRow

from ibkr_assets.adapters.postgres.batch import fetch_together
from ibkr_assets.domain.analysis import call_ids
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.order import OrderIntent, TimeInForce
from ibkr_assets.risk.facts import Circumstances, DataFacts, InstrumentFacts, PlatformFacts, Versions

#: Bars that volume and ranges are averaged over, and that must be proven.
WINDOW = 20
#: How long before the end of the bar decided on what traded counts as recent.
RECENT = timedelta(minutes=30)
#: Kinds of strategy that let a model score, and the parameter that names it.
MODEL_KINDS = ("model_score", "llm_analyst")

#: Daily bars up to the one decided on, newest first; one more than the window, for the true range of its oldest.
_BARS = """
select b.opened_at, b.version, b.high, b.low, b.close, b.volume, b.known_from,
  v.verdict is not distinct from 'accepted' as is_proven
from md.bar b left join md.bar_verdict v using (conid, bar_size, opened_at, version)
where b.conid = %(conid)s and b.bar_size = '1d' and b.known_to is null and b.opened_at < %(bar_end)s
order by b.opened_at desc limit %(count)s
"""

_CONTRACT = """
select currency, extract(epoch from clock_timestamp() - resolved_at) as age_s from md.instrument where conid = %(conid)s
"""

_SIGNAL = """
select s.as_of, s.direction, s.strength, t.kind, t.params, b.numbers, b.opened_at as bars, b.versions,
  (select cardinality(f.values) from research.feature f where f.conid = s.conid and f.bar_size = '1d'
      and f.feature_digest = s.feature_digest and f.opened_at <= s.as_of and f.opened_at > s.as_of - interval '1 day'
    order by f.opened_at desc limit 1) as features,
  (select count(*) from research.feature f, unnest(f.values) as v where f.conid = s.conid and f.bar_size = '1d'
      and f.feature_digest = s.feature_digest and f.opened_at <= s.as_of and f.opened_at > s.as_of - interval '1 day'
      and v in ('NaN', 'infinity', '-infinity')) as infinite
from research.current_signal s
join research.strategy t on t.id = s.strategy_id and t.version = s.strategy_version
left join research.signal_basis b using (signal_id)
where s.strategy_id = %(strategy)s and s.conid = %(conid)s and s.session_date = %(day)s and s.as_of = %(bar_end)s
"""

#: The strategy's bars, and what traded lately by proven minute bars. A minute that is missing makes the sum smaller,
#: one without a volume makes it unknown, which denies.
_RECENT = """
select (select bar_size from research.strategy where id = %(strategy)s order by version desc limit 1) as bar_size,
  (select case when bool_and(b.volume is not null) then sum(b.volume) end
     from md.bar b join md.bar_verdict v using (conid, bar_size, opened_at, version)
    where b.conid = %(conid)s and b.bar_size = '1min' and b.known_to is null and v.verdict = 'accepted'
      and b.opened_at >= %(since)s and b.opened_at < %(bar_end)s) as volume
"""

#: The order is not stored yet when it is first reviewed: whether it only reduces is asked of the row that it will be.
_STANDING = """
select oms.blocked_by(%(account)s, %(strategy)s, %(conid)s, oms.reduces(jsonb_populate_record(
    null::oms.order_intent, jsonb_build_object('account_ref', %(account)s::text, 'conid', %(conid)s::bigint,
      'side', %(side)s::text, 'quantity', %(quantity)s::numeric, 'purpose', %(purpose)s::text, 'intent_id', coalesce(
        (select i.intent_id from oms.order_intent i where i.decision_key = %(decision)s), gen_random_uuid())
    )))) as killed_by,
  (select nav_platform_usd from oms.account_snapshot where account_ref = %(account)s
    order by snapshot_id desc limit 1) as nav_usd
"""

_PEERS = """
select extract(epoch from clock_timestamp()) as database_s, r.code, r.configuration, r.schema_revision,
  (select version_num from platform.schema_version) as own_schema,
  (select extract(epoch from clock_timestamp() - least(w.at, n.answered_at)) from oms.watchdog w
     left join oms.alert_sender n on n.account_ref = w.account_ref and n.channels > 0
     where w.account_ref = %(account)s) as alert_age_s
from (select 1) as always left join oms.running r on r.account_ref = %(account)s
"""


def read_circumstances(cursor: psycopg.Cursor[DictRow], intent: OrderIntent, machine: PlatformFacts) -> Circumstances:
    """Everything of the order alone; `machine` is what this process knows of itself."""
    values = {
        "account": intent.account_ref, "strategy": intent.strategy_id, "conid": intent.conid,
        "decision": intent.decision_key, "day": intent.session_date, "bar_end": intent.signal_bar_end,
        "count": WINDOW + 1, "since": intent.signal_bar_end - RECENT, "side": intent.side,
        "quantity": intent.quantity, "purpose": intent.purpose,
    }  # fmt: skip
    statements = (_STANDING, _CONTRACT, _BARS, _SIGNAL, _RECENT, _PEERS)
    before = time.time()
    standing, contract, bars, signals, recent, peers = fetch_together(cursor, [(text, values) for text in statements])
    skew_s = float(peers[0]["database_s"]) - (before + time.time()) / 2
    volume, without = _recent(intent, recent[0])
    return Circumstances(
        nav_usd=standing[0]["nav_usd"],
        killed_by=standing[0]["killed_by"],
        instrument=replace(_instrument(contract, bars), recent_volume=volume, without_recent_volume=without),
        data=_data(bars[:WINDOW], signals[0] if signals else None),
        platform=_platform(peers[0], skew_s, machine),
    )


def read_average_true_range(cursor: psycopg.Cursor[DictRow], conid: int, bar_end: datetime) -> Decimal | None:
    """In USD, over the newest daily bars up to `bar_end`; None where there are not enough."""
    values = {"conid": conid, "bar_end": bar_end, "count": WINDOW + 1}
    return _instrument([], cursor.execute(_BARS, values).fetchall()).average_true_range


def _instrument(contract: list[DictRow], bars: list[DictRow]) -> InstrumentFacts:
    """The contract, and averages of its bars, newest first, one more than the window."""
    return InstrumentFacts(
        currency=contract[0]["currency"] if contract else None,
        contract_age_s=contract[0]["age_s"] if contract else None,
        average_volume=_average([bar["volume"] for bar in bars[:WINDOW]]),
        average_true_range=_average([_true_range(bar, before) for bar, before in pairwise(bars)]),
    )


def _recent(intent: OrderIntent, found: DictRow) -> tuple[Decimal | None, str]:
    """What traded lately, or why there is nothing to hold the order against. Orders from outside rest on daily bars."""
    if intent.time_in_force is TimeInForce.OPENING:
        return None, "it is for the opening auction"
    size = found["bar_size"] or BarSize.DAY
    if size == BarSize.DAY:
        return None, "it was decided on daily bars"
    return None if found["volume"] is None else Decimal(repr(found["volume"])), ""


def _data(bars: list[DictRow], signal: DictRow | None) -> DataFacts:
    """What the decision rests on: `bars`, and the signal and its features where there is one."""
    proof = DataFacts(
        has_signal=signal is not None,
        bars=len(bars),
        unproven_bars=sum(not bar["is_proven"] for bar in bars),
        revised_bars=sum(_is_revised(bar, signal) for bar in bars),
    )
    if signal is None:
        return proof
    sign = {"long": 1, "short": -1, "flat": 0}[signal["direction"]]
    model, weight = _model(signal, signal["params"])
    return replace(
        proof,
        features=signal["features"],
        infinite_features=signal["infinite"],
        score=Decimal(repr(signal["strength"])) * sign,
        model=model,
        is_model_approved=_is_approved(signal["kind"], signal["numbers"]) if model else None,
        llm_weight=weight,
    )


def _platform(peers: DictRow, skew_s: float, machine: PlatformFacts) -> PlatformFacts:
    """What this machine said of itself, beside the database's clock and what the submitter said."""
    submitter = None
    if peers["code"] is not None:
        submitter = Versions(code=peers["code"], configuration=peers["configuration"], schema=peers["schema_revision"])
    own = machine.own
    return replace(
        machine,
        own=None if own is None else replace(own, schema=peers["own_schema"]),
        submitter=submitter,
        clock_skew_s=Decimal(f"{skew_s:.6f}"),
        alert_age_s=peers["alert_age_s"],
    )


def _average(values: list[float | None]) -> Decimal | None:
    """The mean of a whole window, None for less or where one is missing."""
    known = [value for value in values if value is not None]
    return Decimal(repr(sum(known) / WINDOW)) if len(known) == len(values) == WINDOW else None


def _true_range(bar: DictRow, before: DictRow) -> float | None:
    """The bar's range, the gap from the close before included (Wilder)."""
    high, low, close = bar["high"], bar["low"], before["close"]
    if high is None or low is None or close is None:
        return None
    return float(max(high, close) - min(low, close))


def _is_revised(bar: DictRow, signal: DictRow | None) -> bool:
    """Whether the bar is not the one that the signal was shown; without a list of those, whether it is a later one."""
    if signal is None:
        return False
    if signal["bars"] is not None:
        shown = dict(zip(signal["bars"], signal["versions"], strict=True))
        return bar["opened_at"] in shown and shown[bar["opened_at"]] != bar["version"]
    return bool(bar["version"] > 1 and bar["known_from"] > signal["as_of"])


def _is_approved(kind: str, numbers: dict[str, Any] | None) -> bool:
    """Whether the signal says who scored: an approved version (`adapters.mlflow_models`), or stored requests."""
    if kind == "llm_analyst":
        return numbers is not None and bool(call_ids(numbers))
    return numbers is not None and isinstance(numbers.get("model_version"), int | float)


def _model(signal: DictRow, params: dict[str, Any]) -> tuple[str, Decimal | None]:
    """The model that scores ("" where none does), and how much a language model decides.

    One that may only shrink or veto adds nothing to a score; one that may open decides all of it. A rule that wants
    nothing is passed through without a question, and has no model then.
    """
    kind = signal["kind"]
    if kind not in MODEL_KINDS:
        return "", Decimal(0)
    if kind == "model_score":
        return str(params.get("model", kind)), Decimal(0)
    if signal["direction"] == "flat" and not call_ids(signal["numbers"] or {}):
        return "", Decimal(0)
    return str(params.get("model") or kind), Decimal(1 if params.get("may_open", False) else 0)

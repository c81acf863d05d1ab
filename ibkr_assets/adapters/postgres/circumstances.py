"""What is known of one order before anything is locked: its contract, its bars and features, and who runs what.

What goes here: reading it. What does not: what orders of the account share (`risk_facts`), and the age of a decision,
which the exchange's calendar tells (`execution.propose`). A figure that is not stored is None.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import psycopg
from psycopg.rows import DictRow

from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.risk.facts import Circumstances, DataFacts, InstrumentFacts, PlatformFacts, Versions

#: Bars that volume and ranges are averaged over, and that must be proven.
WINDOW = 20
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
select s.as_of, s.direction, s.strength, t.kind, t.params, b.opened_at as bars, b.versions,
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

_PEERS = """
select extract(epoch from clock_timestamp()) as database_s, r.code, r.configuration, r.schema_revision,
  (select version_num from platform.schema_version) as own_schema,
  (select extract(epoch from clock_timestamp() - w.at) from oms.watchdog w where w.account_ref = %(account)s)
    as alert_age_s
from (select 1) as always left join oms.running r on r.account_ref = %(account)s
"""


def read_circumstances(cursor: psycopg.Cursor[DictRow], intent: OrderIntent, machine: PlatformFacts) -> Circumstances:
    """Everything of the order alone; `machine` is what this process knows of itself."""
    row = cursor.execute(
        "select oms.blocked_by(%s, %s, %s, coalesce((select oms.reduces(i) from oms.order_intent i "
        "where i.decision_key = %s), false)) as reason",
        (intent.account_ref, intent.strategy_id, intent.conid, intent.decision_key),
    ).fetchone()
    nav = cursor.execute(
        "select nav_platform_usd as usd from oms.account_snapshot where account_ref = %s "
        "order by snapshot_id desc limit 1",
        (intent.account_ref,),
    ).fetchone()
    instrument, bars = read_instrument(cursor, intent.conid, intent.signal_bar_end)
    return Circumstances(
        nav_usd=None if nav is None else nav["usd"],
        killed_by=None if row is None else row["reason"],
        instrument=instrument,
        data=read_data(cursor, intent, bars),
        platform=read_platform(cursor, intent.account_ref, machine),
    )


def read_instrument(
    cursor: psycopg.Cursor[DictRow], conid: int, bar_end: datetime
) -> tuple[InstrumentFacts, list[DictRow]]:
    """The instrument's facts, and the newest bars they rest on, at most twenty, newest first."""
    values = {"conid": conid, "bar_end": bar_end, "count": WINDOW + 1}
    contract = cursor.execute(_CONTRACT, values).fetchone() or {}
    bars = cursor.execute(_BARS, values).fetchall()
    facts = InstrumentFacts(
        currency=contract.get("currency"),
        contract_age_s=contract.get("age_s"),
        average_volume=_average([bar["volume"] for bar in bars[:WINDOW]]),
        average_true_range=_average([_true_range(bar, before) for bar, before in pairwise(bars)]),
    )
    return facts, bars[:WINDOW]


def read_data(cursor: psycopg.Cursor[DictRow], intent: OrderIntent, bars: list[DictRow]) -> DataFacts:
    """What the decision rests on: `bars`, and the signal and its features where there is one."""
    values = {
        "strategy": intent.strategy_id, "conid": intent.conid, "day": intent.session_date,
        "bar_end": intent.signal_bar_end,
    }  # fmt: skip
    signal = cursor.execute(_SIGNAL, values).fetchone()
    proof = DataFacts(
        has_signal=signal is not None,
        bars=len(bars),
        unproven_bars=sum(not bar["is_proven"] for bar in bars),
        revised_bars=sum(_is_revised(bar, signal) for bar in bars),
    )
    if signal is None:
        return proof
    sign = {"long": 1, "short": -1, "flat": 0}[signal["direction"]]
    model, weight = _model(signal["kind"], signal["params"])
    return replace(
        proof,
        features=signal["features"],
        infinite_features=signal["infinite"],
        score=Decimal(repr(signal["strength"])) * sign,
        model=model,
        llm_weight=weight,
    )


def read_platform(cursor: psycopg.Cursor[DictRow], account_ref: str, machine: PlatformFacts) -> PlatformFacts:
    """What this machine said of itself, beside the database's clock and what the submitter said."""
    before = time.time()
    peers = cursor.execute(_PEERS, {"account": account_ref}).fetchone()
    assert peers is not None
    submitter = None
    if peers["code"] is not None:
        submitter = Versions(code=peers["code"], configuration=peers["configuration"], schema=peers["schema_revision"])
    skew_s = float(peers["database_s"]) - (before + time.time()) / 2
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


def _model(kind: str, params: dict[str, Any]) -> tuple[str, Decimal | None]:
    """The model that scores ("" where none does), and how much a language model decides; None where it is not said."""
    if kind not in MODEL_KINDS:
        return "", Decimal(0)
    weight = params.get("llm_weight", None if kind == "llm_analyst" else 0)
    return str(params.get("model", kind)), None if weight is None else Decimal(str(weight))

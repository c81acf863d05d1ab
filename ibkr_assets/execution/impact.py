"""What a changed bar does to decisions: signals decided again in both states, and the orders that rest on them.

What goes here: deciding again, with each strategy as it was, and comparing. What does not: the changed bars and
features (`ingest.impact`), and what was decided (`adapters.postgres.impact`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd

from ibkr_assets.domain.errors import PlatformError
from ibkr_assets.domain.lineage import Difference, first_difference
from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.domain.plain import from_plain, to_plain
from ibkr_assets.domain.signal import Signal
from ibkr_assets.execution.decisions import decide_sessions
from ibkr_assets.execution.replay import replan

if TYPE_CHECKING:
    from pathlib import Path

    from ibkr_assets.domain.bar import BarSize
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.market.adjustment import CorporateAction
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import StrategyRecord
    from ibkr_assets.strategies.model_score import Models

#: What of a signal says how it came about, and not what was decided.
_PROOF = ("input_digest", "feature_digest", "reason")


@dataclass(frozen=True, slots=True)
class Frames:
    """Validated bars, features and splits in memory, as the part of `ports.BarStore` that deciding reads."""

    bars: pd.DataFrame
    features: pd.DataFrame
    actions: Sequence[CorporateAction] = ()

    def load_bars(
        self, conids: Sequence[int], size: BarSize, start: datetime, end: datetime, *, is_validated: bool = False
    ) -> pd.DataFrame:
        """See `ports.BarStore`; all of them are validated."""
        del size, is_validated
        return _between(self.bars, conids, start, end)

    def load_features(
        self, conids: Sequence[int], size: BarSize, start: datetime, end: datetime, *, feature_digest: str
    ) -> pd.DataFrame:
        """See `ports.BarStore`."""
        del size, feature_digest
        return _between(self.features, conids, start, end)

    def load_actions(self, conids: Sequence[int]) -> list[CorporateAction]:
        """See `ports.BarStore`."""
        return [action for action in self.actions if action.conid in conids]


@dataclass(frozen=True, slots=True)
class SignalImpact:
    """A signal that would be another one. `difference` is the first thing in which the decision itself differs.

    Without one the decision stands, and only the versions it rests on are others. `stored` is None where there was no
    signal, `computed` where there would be none.
    """

    session_date: date
    strategy_id: str
    symbol: str
    stored: Signal | None
    computed: Signal | None
    difference: Difference | None


@dataclass(frozen=True, slots=True)
class OrderImpact:
    """An order that rests on such a signal: what its plan comes to now; without a difference, the same order."""

    client_order_id: str
    session_date: date
    strategy_id: str
    symbol: str
    difference: Difference | None


def decide_again(
    before: Frames,
    after: Frames,
    decided: Sequence[tuple[StrategyRecord, Sequence[date]]],
    *,
    changed_bars: pd.DatetimeIndex,
    changed_features: pd.DatetimeIndex,
    conid: int,
    instruments: Sequence[Instrument],
    calendar: ExchangeCalendar,
    window_sessions: int,
    directory: Path | None,
    models: Models | None = None,
) -> list[tuple[date, str, str, Signal | None, Signal | None]]:
    """(session, strategy, symbol, before, after) of all signals that are not the same in both states, in this order.

    `decided` names the sessions on which each version of a strategy decided; `changed_bars` and
    `changed_features` are the openings of what differs. Only sessions whose window they can be in are computed.
    """
    from ibkr_assets.strategies.registry import build_strategy
    from ibkr_assets.strategies.strategy import Compares

    found = []
    for record, days in decided:
        strategy = build_strategy(record.kind, record.params, directory=directory)
        own = [one for one in instruments if one.symbol in record.symbols]
        if not isinstance(strategy, Compares):
            own = [one for one in own if one.conid == conid]
        changed = changed_bars.union(changed_features) if strategy.features else changed_bars
        sessions = [calendar.session(day) for day in days]
        reach = {s.day for s in sessions if _is_within(before, after, conid, changed, s.opens_at, strategy.memory_bars)}
        wanted = [session for session in sessions if session.day in reach]
        if not wanted or not own:
            continue
        was, is_now = (
            {
                (signal.session_date, signal.symbol): signal
                for signal in decide_sessions(
                    frames, calendar, strategies=[record], instruments=own, sessions=wanted,  # type: ignore[arg-type]
                    window_sessions=window_sessions, directory=directory, models=models,
                ).signals
            }
            for frames in (before, after)
        )  # fmt: skip
        for day, symbol in sorted(was.keys() | is_now.keys()):
            old, new = was.get((day, symbol)), is_now.get((day, symbol))
            if old != new:
                found.append((day, record.id, symbol, old, new))
    return sorted(found, key=lambda one: one[:3])


def compared_symbols(records: Iterable[StrategyRecord], directory: Path | None) -> set[str]:
    """Symbols that these strategies are shown beside the changed one: all of those that compare their universe."""
    from ibkr_assets.strategies.registry import build_strategy
    from ibkr_assets.strategies.strategy import Compares

    return {
        symbol
        for record in records
        if isinstance(build_strategy(record.kind, record.params, directory=directory), Compares)
        for symbol in record.symbols
    }


def compare_signal(stored: Signal | None, computed: Signal | None) -> Difference | None:
    """The first thing in which two decisions differ; what they rest on is none."""
    if stored is None or computed is None:
        if stored is computed:
            return None
        return Difference("signal", "direction", _direction(stored), _direction(computed))
    return first_difference("signal", _by_value(stored), _by_value(computed))


def compare_order(document: Mapping[str, Any], computed: Signal | None, measures: Mapping[str, float]) -> (
    Difference | None
):  # fmt: skip
    """The first thing in which an order's plan comes to another order, given the signal and the features as they'd be.

    `document` is the order's lineage. NAV, shares held and the market's time are those of then.
    """
    plan = document["plan"]
    if plan is None or plan["sizing"] is None or "now" not in plan["sizing"]:
        return Difference("sizing", "inputs", "not kept", "cannot be computed")
    stored = [from_plain(OrderIntent, intent) for intent in plan["intents"]]
    order = from_plain(OrderIntent, document["order"])
    if computed is None:
        return Difference("sizing", "orders", len(stored), 0)
    given = plan["sizing"]["measures"]
    missing = sorted(name for name in given if measures.get(name) is None)
    if missing:
        return Difference("sizing", f"measures.{missing[0]}", given[missing[0]], None)
    kept: Signal = from_plain(Signal, plan["signal"])
    signal = replace(kept, **{f.name: getattr(computed, f.name) for f in fields(Signal) if f.name not in _PROOF})
    try:
        intents = replan(plan, signal, {name: Decimal(repr(measures[name])) for name in given})
    except (PlatformError, ValueError) as error:
        return Difference("sizing", "computation", "orders", f"{type(error).__name__}: {error}")
    of_leg = [intent for intent in intents if intent.leg == order.leg]
    if not of_leg:
        return Difference("order", "leg", order.leg, f"one of {[intent.leg for intent in intents]}")
    old = [intent for intent in stored if intent.leg == order.leg]
    return first_difference("order", _by_value((old or [order])[0]), _by_value(of_leg[0]))


def by_strategy(
    decided: Sequence[tuple[date, str, int]], records: Mapping[tuple[str, int], StrategyRecord], days: Sequence[date]
) -> list[tuple[StrategyRecord, list[date]]]:
    """Which version of each strategy decided on each of `days`; `decided` are (session, strategy, version) of signals.

    On a day without a signal of its own it is the version of the nearest earlier one, or else of the first.
    """
    versions: dict[str, dict[date, int]] = defaultdict(dict)
    for day, strategy_id, version in decided:
        versions[strategy_id][day] = version
    found: dict[tuple[str, int], list[date]] = defaultdict(list)
    for strategy_id, known in versions.items():
        current = known[min(known)]
        timeline = sorted({*known, *days})
        for day in timeline:
            current = known.get(day, current)
            if day in days:
                found[strategy_id, current].append(day)
    return [(records[key], own) for key, own in found.items() if key in records]


def _is_within(
    before: Frames, after: Frames, conid: int, changed: pd.DatetimeIndex, opened_at: datetime, memory_bars: int
) -> bool:
    """Whether a change lies in the last `memory_bars` bars up to a session's, in one of the states."""
    earlier = changed[changed <= opened_at]
    if not len(earlier):
        return False
    for frames in (before, after):
        moments = frames.bars.loc[frames.bars["conid"] == conid, "opened_at"]
        if ((moments >= earlier[-1]) & (moments <= opened_at)).sum() <= memory_bars:
            return True
    return False


def _between(frame: pd.DataFrame, conids: Sequence[int], start: datetime, end: datetime) -> pd.DataFrame:
    is_wanted = frame["conid"].isin(conids) & (frame["opened_at"] >= start) & (frame["opened_at"] < end)
    return frame[is_wanted].reset_index(drop=True)


def _by_value(value: Signal | OrderIntent) -> dict[str, Any]:
    """Its fields as plain values, without what it rests on; numbers count by what they are worth."""
    of_fields = {field.name: getattr(value, field.name) for field in fields(value) if field.name not in _PROOF}
    return {n: str(v.normalize()) if isinstance(v, Decimal) else to_plain(v) for n, v in of_fields.items()}


def _direction(signal: Signal | None) -> str:
    return "none" if signal is None else signal.direction.value

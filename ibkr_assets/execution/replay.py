"""A decision computed again from what was stored with it: bars, features, signal, plan, order, review.

What goes here: each stage by the functions that decide live, and the first thing that came out otherwise. What does
not: reading what was stored (`adapters.postgres.lineage`). Nothing is asked of the broker, of a clock or of the
settings; only the code is today's, the user's own kinds of strategy included, so that a changed formula shows as the
difference it makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ibkr_assets.domain.analysis import call_ids
from ibkr_assets.domain.errors import PlatformError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.lineage import Difference, first_difference
from ibkr_assets.domain.order import Mode, OrderIntent
from ibkr_assets.domain.plain import from_plain, to_plain
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.domain.signal import Signal
from ibkr_assets.execution.replayed_review import compare_review

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from ibkr_assets.strategies.analyst import Analyst, PastAnalysts
    from ibkr_assets.strategies.model_score import Models, PastModels

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Replay:
    """Stages that came out as they were stored, then the first difference, and the stages that were not kept."""

    identical: tuple[str, ...]
    difference: Difference | None
    not_kept: tuple[str, ...]

    @property
    def is_identical(self) -> bool:
        """True when every stage that the order has was computed, and came out as it was."""
        return self.difference is None and not self.not_kept


def replay(
    document: Document,
    feature_bars: Sequence[Document],
    *,
    directory: Path | None = None,
    models: PastModels | None = None,
    analysts: PastAnalysts | None = None,
) -> Replay:
    """Compute the decision of a lineage document again, stage by stage, up to the first difference.

    `feature_bars` are the bar versions behind the stored features, `directory` holds the user's own kinds of strategy,
    `models` leads to the version of a model that scored then, `analysts` to what a language model answered then: it is
    not asked again. An order from outside has its review alone.
    """
    not_kept = tuple(f"{link['link']}: {link['why']}" for link in document["missing"] if not link["is_expected"])
    identical: list[str] = []
    for name, compare in _stages(document, feature_bars, directory, models, analysts).items():
        try:
            difference = compare()
        except (PlatformError, ValueError, TypeError, KeyError) as error:
            difference = Difference(name, "computation", "came to an end", f"{type(error).__name__}: {error}")
        if difference is not None:
            return Replay(tuple(identical), difference, not_kept)
        identical.append(name)
    return Replay(tuple(identical), None, not_kept)


def _stages(
    document: Document,
    feature_bars: Sequence[Document],
    directory: Path | None,
    models: PastModels | None,
    analysts: PastAnalysts | None,
) -> dict[str, Callable[[], Difference | None]]:
    """What can be computed of what was kept."""
    missing = {link["link"] for link in document["missing"]}
    stages: dict[str, Callable[[], Difference | None]] = {}
    if document["basis"] is not None:
        stages["bars"] = lambda: _compare_bars(document, feature_bars)
        stages["features"] = lambda: _compare_features(document, feature_bars)
        stages["parameters"] = lambda: _compare_parameters(document)
        stages["signal"] = lambda: _compare_signal(document, directory, models, analysts)
    if document["plan"] is not None and "sizing" not in missing:
        stages["sizing"] = lambda: _compare_plan(document)
    if document["plan"] is not None:
        stages["order"] = lambda: _compare_order(document)
    if document["risk"] is not None and "facts" not in missing:
        stages["risk"] = lambda: compare_review(document, "risk")
    if document["departure"] is not None:
        stages["departure"] = lambda: compare_review(document, "departure")
    return stages


def _compare_bars(document: Document, feature_bars: Sequence[Document]) -> Difference | None:
    """Every version is there, its values still have the hash they were stored by, and together they are the digest."""
    from ibkr_assets.strategies.decide import input_digest

    for bar in (*document["bars"], *feature_bars):
        where = f"{bar['symbol']} {bar['opened_at']} version {bar['version']}"
        if bar["row_sha"] is None:
            return Difference("bars", where, "shown to the strategy", "not there")
        if bar["row_sha"] != bar["sha_of_values"]:
            return Difference("bars", where, bar["row_sha"], bar["sha_of_values"])
    return first_difference("bars", {"input_digest": document["signal"]["input_digest"]},
                  {"input_digest": input_digest(_frame(document["bars"]), _actions(document))})  # fmt: skip


def _compare_features(document: Document, feature_bars: Sequence[Document]) -> Difference | None:
    """All features at the bar decided on, from every bar that they were computed from then."""
    from ibkr_assets.features.compute import compute_features
    from ibkr_assets.features.definition import feature_digest

    digest = {"feature_digest": document["signal"]["feature_digest"]}
    different = first_difference("features", digest, {"feature_digest": feature_digest()})
    if different is not None or not feature_bars:
        return different
    newest = compute_features(_adjusted(document, feature_bars)).iloc[-1]
    names = [name for name in newest.index if name not in ("conid", "opened_at")]
    computed = {name: None if newest[name] != newest[name] else float(newest[name]) for name in names}
    return first_difference("features", document["basis"]["features"], computed)


def _compare_parameters(document: Document) -> Difference | None:
    """The strategy's version says what it said when it decided and when it was sized."""
    basis, strategy, plan = document["basis"], document["strategy"], document["plan"]
    used = {"kind": basis["kind"], **{f"params.{name}": value for name, value in basis["params"].items()}}
    kept = {"kind": strategy["kind"], **{f"params.{name}": value for name, value in strategy["params"].items()}}
    if plan is not None and plan["sizing"] is not None:
        used["sizing"], kept["sizing"] = plan["sizing"]["spec"], strategy["sizing"]
    return first_difference("parameters", used, kept)


def _compare_signal(
    document: Document, directory: Path | None, models: PastModels | None, analysts: PastAnalysts | None
) -> Difference | None:
    """Direction, strength, price, reason and the numbers compared, from the same bars by the same rule."""
    import pandas as pd

    from ibkr_assets.strategies.decide import decide_signals
    from ibkr_assets.strategies.registry import build_strategy

    signal, basis, bars = document["signal"], document["basis"], _adjusted(document, document["bars"])
    features = bars[["conid", "opened_at"]].assign(
        **{name: pd.Series(values, dtype="float64") for name, values in basis["shown"].items()}
    )
    stored = _signal(signal)
    opens_at = bars["opened_at"].iloc[-1].to_pydatetime()
    decisions = decide_signals(
        stored.strategy_id,
        stored.strategy_version,
        build_strategy(
            basis["kind"],
            basis["params"],
            directory=directory,
            models=_then(basis["numbers"], models),
            analyst=_answered_then(basis["numbers"], analysts),
        ),
        bars=bars,
        features=features,
        session=TradingSession("", stored.session_date, opens_at, stored.as_of),
        instruments=[Instrument(stored.conid, stored.symbol, "")],
        actions={stored.conid: _actions(document)},
    )
    if not decisions.signals:
        return Difference("signal", "direction", str(stored.direction), f"none: {decisions.skipped[0].reason}")
    computed = _by_value(decisions.signals[0]) | decisions.bases[0].numbers
    return first_difference("signal", _by_value(stored) | basis["numbers"], computed)


def _then(numbers: Mapping[str, Any], models: PastModels | None) -> Models | None:
    """The way to the model that scored, whichever version the alias names today."""
    if models is None or "model_version" not in numbers:
        return None
    return lambda name, _alias: models(name, int(numbers["model_version"]))


def _answered_then(numbers: Mapping[str, Any], analysts: PastAnalysts | None) -> Analyst | None:
    """The analyst that knows the requests which the signal rests on; None where it rests on none."""
    calls = call_ids(numbers)
    return analysts(calls) if calls and analysts is not None else None


def _compare_plan(document: Document) -> Difference | None:
    """The measures are the features', the signal is the one decided, and the same NAV and shares give the orders."""
    plan, given = document["plan"], document["plan"]["sizing"]
    if document["basis"] is not None and document["basis"]["features"]:
        features = document["basis"]["features"]
        measures = {name: None if features[name] is None else repr(features[name]) for name in given["measures"]}
        different = first_difference(
            "sizing", _prefixed("measures", given["measures"]), _prefixed("measures", measures)
        )
        if different is not None:
            return different
    signal = from_plain(Signal, plan["signal"])
    if document["signal"] is not None:
        different = first_difference("sizing", _prefixed("signal", _by_value(signal)),
                           _prefixed("signal", _by_value(_signal(document["signal"]))))  # fmt: skip
        if different is not None:
            return different
    intents = replan(plan, signal, {name: Decimal(value) for name, value in given["measures"].items()})
    stored = [from_plain(OrderIntent, intent) for intent in plan["intents"]]
    if len(stored) != len(intents):
        return Difference("sizing", "orders", len(stored), len(intents))
    pairs = zip(stored, intents, strict=True)
    return next(
        (found for pair in pairs if (found := first_difference("sizing", *map(_by_value, pair))) is not None), None
    )


def replan(plan: Document, signal: Signal, measures: Mapping[str, Decimal]) -> list[OrderIntent]:
    """The orders that a stored plan comes to with this signal and these measures; all else is as it was."""
    from ibkr_assets.portfolio.rebalance import plan_orders
    from ibkr_assets.portfolio.sizing import size_targets

    given, measured = plan["sizing"], {signal.conid: measures}
    instruments = [from_plain(Instrument, given["instrument"])]
    nav = Decimal(plan["nav_usd"])
    return plan_orders(
        size_targets([signal], given["spec"], nav_usd=nav, instruments=instruments, measures=measured),
        {signal.conid: Decimal(plan["held_and_working"])},
        instruments=instruments,
        account_ref=plan["account_ref"],
        mode=Mode(plan["mode"]),
        session=from_plain(TradingSession, given["session"]),
        next_session=from_plain(TradingSession, given["next_session"]),
        now=from_plain(datetime, given["now"]),
        price_collar_fraction=Decimal(given["price_collar_fraction"]),
    )


def _compare_order(document: Document) -> Difference | None:
    """The order is the one of its leg that was planned."""
    order = from_plain(OrderIntent, document["order"])
    planned = [from_plain(OrderIntent, intent) for intent in document["plan"]["intents"]]
    of_leg = [intent for intent in planned if intent.leg == order.leg]
    if not of_leg:
        return Difference("order", "leg", order.leg, f"one of {[intent.leg for intent in planned]}")
    return first_difference("order", _by_value(order), _by_value(of_leg[0]))


def _signal(row: Document) -> Signal:
    signal: Signal = from_plain(Signal, row)
    return signal


def _by_value(value: Signal | OrderIntent) -> dict[str, Any]:
    """Its fields as plain values; numbers count by what they are worth: 206.00 is 206."""
    of_fields = {field.name: getattr(value, field.name) for field in fields(value)}
    return {n: f"{v.normalize():f}" if isinstance(v, Decimal) else to_plain(v) for n, v in of_fields.items()}


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


def _actions(document: Document) -> tuple[tuple[str, str, str], ...]:
    return tuple((day, kind, value) for day, kind, value in document["basis"].get("actions", ()))


def _adjusted(document: Document, bars: Sequence[Document]) -> pd.DataFrame:
    """The bars in the shares of the day decided on, as they were shown."""
    from ibkr_assets.market.adjustment import ActionKind, CorporateAction, adjust

    frame, conid = _frame(bars), document["signal"]["conid"]
    actions = [
        CorporateAction(conid, date.fromisoformat(day), ActionKind(kind), Decimal(value))
        for day, kind, value in _actions(document)
    ]
    as_of = date.fromisoformat(document["signal"]["session_date"])
    return adjust(frame, actions, as_of=as_of).drop(columns="factor") if actions else frame


def _frame(bars: Sequence[Document]) -> pd.DataFrame:
    import pandas as pd

    from ibkr_assets.domain.bar import BAR_COLUMNS

    frame = pd.DataFrame(list(bars))[[*BAR_COLUMNS, "version", "row_sha"]]
    frame["opened_at"] = pd.to_datetime(frame["opened_at"], utc=True, format="ISO8601")
    return frame.astype(dict.fromkeys(("open", "high", "low", "close", "volume"), "float64"))

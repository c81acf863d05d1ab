"""A decision computed again from what was stored with it: bars, features, signal, plan, order, review.

What goes here: the stages in their order, by the functions that decide live, and the first thing that came out
otherwise. What does not: reading what was stored (`adapters.postgres.lineage`), and the stages up to the signal
(`execution.replayed_signal`) and of the review (`execution.replayed_review`). Nothing is asked of the broker, of a
clock or of the settings; only the code is today's, the user's own kinds of strategy included, so that a changed formula
shows as the difference it makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ibkr_assets.domain.errors import PlatformError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.lineage import Difference, first_difference
from ibkr_assets.domain.order import Mode, OrderIntent
from ibkr_assets.domain.plain import from_plain
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.domain.signal import Signal
from ibkr_assets.execution.replayed_review import compare_review
from ibkr_assets.execution.replayed_signal import by_value, compare_bars, compare_features, compare_signal, signal_of

if TYPE_CHECKING:
    from pathlib import Path

    from ibkr_assets.strategies.analyst import PastAnalysts
    from ibkr_assets.strategies.model_score import PastModels

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
    compared_bars: Sequence[Document] = (),
    *,
    directory: Path | None = None,
    models: PastModels | None = None,
    analysts: PastAnalysts | None = None,
) -> Replay:
    """Compute the decision of a lineage document again, stage by stage, up to the first difference.

    `feature_bars` are the bar versions behind the stored features, `compared_bars` those that the strategy compared,
    where it did. `directory` holds the user's own kinds of strategy, `models` leads to the version of a model that
    scored then, `analysts` to what a language model answered then: it is not asked again. An order from outside has its
    review alone.
    """
    not_kept = tuple(f"{link['link']}: {link['why']}" for link in document["missing"] if not link["is_expected"])
    identical: list[str] = []
    for name, compare in _stages(document, feature_bars, compared_bars, directory, models, analysts).items():
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
    compared_bars: Sequence[Document],
    directory: Path | None,
    models: PastModels | None,
    analysts: PastAnalysts | None,
) -> dict[str, Callable[[], Difference | None]]:
    """What can be computed of what was kept."""
    missing = {link["link"] for link in document["missing"]}
    stages: dict[str, Callable[[], Difference | None]] = {}
    if document["basis"] is not None:
        stages["bars"] = lambda: compare_bars(document, feature_bars, compared_bars)
        stages["features"] = lambda: compare_features(document, feature_bars)
        stages["parameters"] = lambda: _compare_parameters(document)
        stages["signal"] = lambda: compare_signal(document, compared_bars, directory, models, analysts)
    if document["plan"] is not None and "sizing" not in missing:
        stages["sizing"] = lambda: _compare_plan(document)
    if document["plan"] is not None:
        stages["order"] = lambda: _compare_order(document)
    if document["risk"] is not None and "facts" not in missing:
        stages["risk"] = lambda: compare_review(document, "risk")
    if document["departure"] is not None:
        stages["departure"] = lambda: compare_review(document, "departure")
    return stages


def _compare_parameters(document: Document) -> Difference | None:
    """The strategy's version says what it said when it decided and when it was sized."""
    basis, strategy, plan = document["basis"], document["strategy"], document["plan"]
    used = {"kind": basis["kind"], **{f"params.{name}": value for name, value in basis["params"].items()}}
    kept = {"kind": strategy["kind"], **{f"params.{name}": value for name, value in strategy["params"].items()}}
    if plan is not None and plan["sizing"] is not None:
        used["sizing"], kept["sizing"] = plan["sizing"]["spec"], strategy["sizing"]
    return first_difference("parameters", used, kept)


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
        different = first_difference("sizing", _prefixed("signal", by_value(signal)),
                           _prefixed("signal", by_value(signal_of(document["signal"]))))  # fmt: skip
        if different is not None:
            return different
    intents = replan(plan, signal, {name: Decimal(value) for name, value in given["measures"].items()})
    stored = [from_plain(OrderIntent, intent) for intent in plan["intents"]]
    if len(stored) != len(intents):
        return Difference("sizing", "orders", len(stored), len(intents))
    pairs = zip(stored, intents, strict=True)
    return next(
        (found for pair in pairs if (found := first_difference("sizing", *map(by_value, pair))) is not None), None
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
    return first_difference("order", by_value(order), by_value(of_leg[0]))


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in values.items()}

"""The part of a decision up to its signal, computed again: the bars, the features, the opinion.

What goes here: those stages, from what was stored with the signal. What does not: what became of it
(`execution.replay`), and reading what was stored (`adapters.postgres.lineage`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ibkr_assets.domain.analysis import call_ids
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.lineage import Comparison, Difference, first_difference
from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.domain.plain import from_plain, to_plain
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.domain.signal import Signal

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from ibkr_assets.strategies.analyst import Analyst, PastAnalysts
    from ibkr_assets.strategies.model_score import Models, PastModels

Document = Mapping[str, Any]
Actions = tuple[tuple[str, str, str], ...]


def compare_bars(
    document: Document, feature_bars: Sequence[Document], compared_bars: Sequence[Document]
) -> Difference | None:
    """Every version is there, its values still have the hash they were stored by, and together they are the digest."""
    from ibkr_assets.strategies.input_proof import input_digest

    for bar in (*document["bars"], *compared_bars, *feature_bars):
        where = f"{bar['symbol']} {bar['opened_at']} version {bar['version']}"
        if bar["row_sha"] is None:
            return Difference("bars", where, "shown to the strategy", "not there")
        if bar["row_sha"] != bar["sha_of_values"]:
            return Difference("bars", where, bar["row_sha"], bar["sha_of_values"])
    comparison = _comparison(document, compared_bars)
    if comparison is not None:
        name = {"comparison": document["basis"]["comparison"]}
        different = first_difference("bars", name, {"comparison": comparison.sha256})
        if different is not None:
            return different
    digest = input_digest(_frame(document["bars"]), _actions(document["basis"]), comparison)
    return first_difference("bars", {"input_digest": document["signal"]["input_digest"]}, {"input_digest": digest})


def compare_features(document: Document, feature_bars: Sequence[Document]) -> Difference | None:
    """All features at the bar decided on, from every bar that they were computed from then."""
    from ibkr_assets.features.compute import compute_features
    from ibkr_assets.features.definition import feature_digest

    digest = {"feature_digest": document["signal"]["feature_digest"]}
    different = first_difference("features", digest, {"feature_digest": feature_digest()})
    if different is not None or not feature_bars:
        return different
    newest = compute_features(_own(document, feature_bars)).iloc[-1]
    names = [name for name in newest.index if name not in ("conid", "opened_at")]
    computed = {name: None if newest[name] != newest[name] else float(newest[name]) for name in names}
    return first_difference("features", document["basis"]["features"], computed)


def compare_signal(
    document: Document,
    compared_bars: Sequence[Document],
    directory: Path | None,
    models: PastModels | None,
    analysts: PastAnalysts | None,
) -> Difference | None:
    """Direction, strength, price, reason and the numbers compared, from the same bars by the same rule.

    A strategy that compares its universe is shown all of it again. Of signals from before that was kept, what it found
    by comparing is taken as it was stored.
    """
    import pandas as pd

    from ibkr_assets.strategies.decide import decide_signals
    from ibkr_assets.strategies.registry import build_strategy

    signal, basis, own = document["signal"], document["basis"], _own(document, document["bars"])
    compared = {name for one in document["compared"] for name in one["columns"]} if compared_bars else set()
    given = {name: values for name, values in basis["shown"].items() if name not in compared}
    features = own[["conid", "opened_at"]].assign(
        **{name: pd.Series(values, dtype="float64") for name, values in given.items()}
    )
    stored = signal_of(signal)
    instruments, bars, actions = [Instrument(stored.conid, stored.symbol, "")], own, {stored.conid: _actions(basis)}
    if compared_bars:
        actions = {one["conid"]: _actions(one) for one in document["compared"]}
        bars = _adjusted(_frame(compared_bars), actions, stored.session_date)
        instruments = [Instrument(one["conid"], one["symbol"], "") for one in document["compared"]]
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
        session=TradingSession("", stored.session_date, own["opened_at"].iloc[-1].to_pydatetime(), stored.as_of),
        instruments=instruments,
        actions=actions,
    )
    found = [(one, of) for one, of in zip(decisions.signals, decisions.bases, strict=True) if one.conid == stored.conid]
    if not found:
        why = next(skipped.reason for skipped in decisions.skipped if skipped.symbol == stored.symbol)
        return Difference("signal", "direction", str(stored.direction), f"none: {why}")
    computed, rests_on = found[0]
    return first_difference("signal", by_value(stored) | basis["numbers"], by_value(computed) | rests_on.numbers)


def _then(numbers: Mapping[str, Any], models: PastModels | None) -> Models | None:
    """The way to the model that scored, whichever version the alias names today."""
    if models is None or "model_version" not in numbers:
        return None
    return lambda name, _alias: models(name, int(numbers["model_version"]))


def _answered_then(numbers: Mapping[str, Any], analysts: PastAnalysts | None) -> Analyst | None:
    """The analyst that knows the requests which the signal rests on; None where it rests on none."""
    calls = call_ids(numbers)
    return analysts(calls) if calls and analysts is not None else None


def signal_of(row: Document) -> Signal:
    """A stored signal as the value that it was."""
    signal: Signal = from_plain(Signal, row)
    return signal


def by_value(value: Signal | OrderIntent) -> dict[str, Any]:
    """Its fields as plain values; numbers count by what they are worth: 206.00 is 206."""
    of_fields = {field.name: getattr(value, field.name) for field in fields(value)}
    return {n: f"{v.normalize():f}" if isinstance(v, Decimal) else to_plain(v) for n, v in of_fields.items()}


def _comparison(document: Document, compared_bars: Sequence[Document]) -> Comparison | None:
    """What the strategy compared, as it comes to from the bars; None where it did not, or nobody kept it."""
    from ibkr_assets.strategies.input_proof import compared

    if not compared_bars:
        return None
    actions = {one["conid"]: _actions(one) for one in document["compared"]}
    return compared(_frame(compared_bars), actions, tuple(document["compared"][0]["columns"]))


def _actions(row: Document) -> Actions:
    return tuple((day, kind, value) for day, kind, value in row.get("actions", ()))


def _own(document: Document, bars: Sequence[Document]) -> pd.DataFrame:
    """Bars of the signal's instrument in the shares of the day decided on, as they were shown."""
    signal = signal_of(document["signal"])
    return _adjusted(_frame(bars), {signal.conid: _actions(document["basis"])}, signal.session_date)


def _adjusted(frame: pd.DataFrame, actions: Mapping[int, Actions], as_of: date) -> pd.DataFrame:
    from ibkr_assets.market.adjustment import ActionKind, CorporateAction, adjust

    known = [
        CorporateAction(conid, date.fromisoformat(day), ActionKind(kind), Decimal(value))
        for conid, own in actions.items()
        for day, kind, value in own
    ]
    return adjust(frame, known, as_of=as_of).drop(columns="factor") if known else frame


def _frame(bars: Sequence[Document]) -> pd.DataFrame:
    import pandas as pd

    from ibkr_assets.domain.bar import BAR_COLUMNS

    frame = pd.DataFrame(list(bars))[[*BAR_COLUMNS, "version", "row_sha"]]
    frame["opened_at"] = pd.to_datetime(frame["opened_at"], utc=True, format="ISO8601")
    return frame.astype(dict.fromkeys(("open", "high", "low", "close", "volume"), "float64"))

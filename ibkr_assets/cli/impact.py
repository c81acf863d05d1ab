"""The command that says what rests on one bar: partitions, signals, orders and backtests, and what would differ.

What goes here: reading options, asking each floor for its part, and showing. What does not: computing (`ingest.impact`,
`execution.impact`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.cli.recompute import Step, launch, plan_steps
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.execution.impact import OrderImpact, SignalImpact
    from ibkr_assets.ingest.impact import BarChange
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]


@dataclasses.dataclass(frozen=True, slots=True)
class Impact:
    """Partitions by asset, decisions that rest on the bar, and the steps that compute exactly these again."""

    symbol: str
    opened_at: datetime
    old: Mapping[str, float | bool]
    new: Mapping[str, float | bool]
    partitions: dict[str, list[date]]
    signals: list[SignalImpact]
    orders: list[OrderImpact]
    backtests: list[dict[str, Any]]
    recompute: list[Step]


def bars_impact(
    symbol: Annotated[str, typer.Argument(help="the instrument's symbol")],
    at: Annotated[str, typer.Argument(help="the session of a daily bar, or the opening of any, ISO 8601 with a zone")],
    change: Annotated[
        list[str] | None, typer.Option("--set", help="what a value might become, as close=101.5; nothing is written")
    ] = None,
    size: Annotated[BarSize, typer.Option("--bar-size", help="the length of the bar")] = BarSize.DAY,
    is_launched: Annotated[
        bool, typer.Option("--launch", help="have Dagster compute exactly these partitions again, and wait")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What rests on one bar: exactly the partitions that its last correction touches, and decisions that would differ.

    With --set: the same for a change that nobody has made. Every signal is decided again by its strategy as it was.
    With --launch verdicts, features and signals are computed again in runs of Dagster, one after the other; orders that
    were decided stay as they are.

    Example: ibkr-assets bars impact IBM 2012-08-22 --set close=199.1
    """
    if is_launched and change:
        raise InputError("launch: nothing is stored of a change by --set; there is nothing to compute again")
    settings = configuration.load()
    found = examine(settings, symbol, at, size, dict(_pair(text) for text in change or []) or None)
    runs = launch(settings, found.recompute, say) if is_launched else []
    if as_json:
        shown = {one.name: getattr(found, one.name) for one in dataclasses.fields(found)}
        emit_json({**shown, "recompute": [step.command for step in found.recompute], "runs": runs})
        return
    emit(_show(found, is_launched=is_launched))


def examine(settings: Settings, symbol: str, at: str, size: BarSize, values: Mapping[str, float] | None) -> Impact:
    """Everything that rests on the bar. Raises InputError for a bar that is not there or was never corrected."""
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.impact import PostgresImpact
    from ibkr_assets.features.definition import feature_digest
    from ibkr_assets.ingest.impact import change_bar

    store, calendar = bootstrap.bar_store(settings), bootstrap.calendar(settings)
    rows = PostgresImpact(bootstrap.database(settings))
    (instrument,) = store.instruments([symbol])
    opened_at = _opening(at, size, calendar)
    older = None if values is not None else rows.version_before(instrument.conid, size, opened_at)
    bar = change_bar(store, calendar, instrument, size, opened_at, values=values, older=older)
    moments = bar.changed_features
    stored = rows.feature_days(size, feature_digest(), moments[0], moments[-1]) if len(moments) else set()
    partitions = {
        "raw_bars": list(bar.raw),
        "validated_bars": list(bar.validated),
        "enriched_features": sorted({moment.date() for moment in moments} & stored),
    }
    signals: list[SignalImpact] = []
    orders: list[OrderImpact] = []
    if size is BarSize.DAY and (len(bar.changed_bars) or len(moments)):
        signals, orders = _decisions(settings, rows, bar, calendar)
    partitions["signals"] = sorted({one.session_date for one in signals})
    partitions = {asset: days for asset, days in partitions.items() if days}
    return Impact(
        symbol, opened_at, bar.old, bar.new, partitions, signals, orders, _backtests(settings, bar),
        recompute=plan_steps(partitions, sorted({symbol, *(one.symbol for one in signals)}), calendar),
    )  # fmt: skip


def _decisions(
    settings: Settings, rows: Any, bar: BarChange, calendar: ExchangeCalendar
) -> tuple[list[SignalImpact], list[OrderImpact]]:
    from ibkr_assets import bootstrap
    from ibkr_assets.execution import impact

    changed = bar.changed_bars.union(bar.changed_features)
    since = changed[0].date()
    records = rows.strategies(bar.instrument.symbol)
    ids = sorted({name for name, _ in records})
    decided = impact.by_strategy(rows.decided(ids, since), records, rows.sessions(since))
    known = {one.symbol: one for one in bootstrap.bar_store(settings).instruments()}
    compared = impact.compared_symbols((record for record, _ in decided), settings.strategies.directory)
    others = [known[symbol] for symbol in sorted({bar.instrument.symbol, *compared}) if symbol in known]
    before, after = _frames(settings, bar, others)
    again = impact.decide_again(
        before, after, decided, changed_bars=bar.changed_bars, changed_features=bar.changed_features,
        conid=bar.instrument.conid, instruments=others, calendar=calendar, models=bootstrap.models(settings),
        window_sessions=settings.market.warm_up_sessions, directory=settings.strategies.directory,
    )  # fmt: skip
    sized = {moment.date() for moment in bar.changed_features}  # an order's size may rest on features of its session
    stored = rows.signals(ids, sorted({day for day, *_ in again} | sized))
    signals = []
    for day, strategy, symbol, _, new in again:
        was = stored.get((day, strategy, symbol))
        signals.append(impact.SignalImpact(day, strategy, symbol, was, new, impact.compare_signal(was, new)))
    computed = {(one.session_date, one.strategy_id, one.symbol): one.computed for one in signals}
    lineage, orders = bootstrap.lineage(settings), []
    features = {(row["conid"], row["opened_at"]): row for row in after.features.to_dict("records")}
    days = sorted(sized | {one.session_date for one in signals})
    symbols = sorted({bar.instrument.symbol, *(one.symbol for one in signals)})
    for name, day, strategy, symbol in rows.orders(ids, days, symbols):
        key = (day, strategy, symbol)
        is_own = symbol == bar.instrument.symbol and day in sized
        if key not in computed and not is_own:
            continue
        row = features.get((known[symbol].conid, calendar.session(day).opens_at), {})
        measures = {name: value for name, value in row.items() if value == value}
        signal = computed[key] if key in computed else stored.get(key)
        difference = impact.compare_order(lineage.document(name), signal, measures)
        if key in computed or difference is not None:
            orders.append(impact.OrderImpact(name, day, strategy, symbol, difference))
    return signals, orders


def _frames(settings: Settings, bar: BarChange, others: Sequence[Instrument]) -> Any:
    """Both states with the bars and features of the other instruments that a strategy may compare with."""
    import pandas as pd

    from ibkr_assets import bootstrap
    from ibkr_assets.execution.impact import Frames
    from ibkr_assets.features.definition import feature_digest

    store, reach = bootstrap.bar_store(settings), (datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
    conids = [one.conid for one in others if one.conid != bar.instrument.conid]
    bars = store.load_bars(conids, bar.size, *reach, is_validated=True)
    features = store.load_features(conids, bar.size, *reach, feature_digest=feature_digest())
    actions = store.load_actions([one.conid for one in others])
    found = []
    for state in (bar.before, bar.after):
        own_bars, own_features = (
            pd.concat([own, other] if len(other) else [own], ignore_index=True).sort_values(
                ["conid", "opened_at"], ignore_index=True
            )
            for own, other in ((state.bars, bars), (state.features, features))
        )
        found.append(Frames(own_bars, own_features, actions))
    return found


def _backtests(settings: Settings, bar: BarChange) -> list[dict[str, Any]]:
    """Tracked backtests that traded over the bar as it was before; `is_proven` by the hash of the bars they read."""
    from ibkr_assets import bootstrap
    from ibkr_assets.ingest.backtests import find_backtests

    tracker = bootstrap.tracker(settings)
    if tracker is None or bar.size is not BarSize.DAY or not len(bar.changed_bars):
        return []
    try:
        runs = tracker.runs_where("params.source = 'database'")
    except Unavailable as error:
        say(f"backtests were not looked at: {error}")
        return []
    return find_backtests(bootstrap.bar_store(settings), bar, runs)


def _opening(text: str, size: BarSize, calendar: ExchangeCalendar) -> datetime:
    try:
        if len(text) == len("2012-08-22"):
            if size is not BarSize.DAY:
                raise InputError(f"at: {text} is a day; a bar of {size} has an opening, such as {text}T14:30:00+00:00")
            return calendar.session(date.fromisoformat(text)).opens_at
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"at: expected a day or an instant, got {text!r}") from None
    if moment.tzinfo is None:
        raise InputError(f"at: {text!r} names no zone")
    return moment


def _pair(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        return name.strip(), float(value if equals else "")
    except ValueError:
        raise InputError(f"set: expected a value such as close=101.5, got {text!r}") from None


def _show(found: Impact, *, is_launched: bool) -> str:
    values = [{"value": name, "before": found.old[name], "after": found.new[name]} for name in found.old]
    parts = [table([row for row in values if row["before"] != row["after"]] or values, ["value", "before", "after"])]
    parts.append(
        table(
            [
                {"asset": asset, "partitions": len(days), "first": days[0], "last": days[-1]}
                for asset, days in found.partitions.items()
            ],
            ["asset", "partitions", "first", "last"],
        )
    )
    decisions = [
        {"session": one.session_date, "strategy": one.strategy_id, "symbol": one.symbol, "decision": "signal",
         **_difference(one.difference)} for one in found.signals
    ] + [
        {"session": one.session_date, "strategy": one.strategy_id, "symbol": one.symbol,
         "decision": one.client_order_id, **_difference(one.difference)} for one in found.orders
    ]  # fmt: skip
    columns = ["session", "strategy", "symbol", "decision", "is", "field", "stored", "computed"]
    parts.append(table(decisions, columns))
    if found.backtests:
        parts.append(table(found.backtests, ["name", "run_id", "is_proven", "url"]))
    differ = [sum(one.difference is not None for one in rows) for rows in (found.signals, found.orders)]
    say(
        f"{differ[0]} of {len(found.signals)} signals and {differ[1]} of {len(found.orders)} orders would differ; "
        f"{'what could be computed again has been' if is_launched else 'nothing was written'}"
    )
    return "\n\n".join([*parts, "\n".join(step.command for step in found.recompute)])


def _difference(difference: Any) -> dict[str, Any]:
    if difference is None:
        return {"is": "identical"}
    return {"is": "differs", "field": f"{difference.stage}.{difference.field}", "stored": difference.stored,
            "computed": difference.computed}  # fmt: skip

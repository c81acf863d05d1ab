"""The asset `signals`: what each strategy says of each of its instruments at the end of each session."""

from collections import Counter
from typing import TYPE_CHECKING

import dagster as dg

from ibkr_assets import bootstrap
from ibkr_assets.defs import metadata as show
from ibkr_assets.defs.checks import judge_signals, judge_tracking, run_is_tracked, signals_are_whole
from ibkr_assets.defs.resources import Calendar, Postgres, SettingsInForce
from ibkr_assets.defs.run_config import ChainConfig, session_days
from ibkr_assets.defs.tracking import Mlflow, rests_on
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.execution.decisions import decide_sessions, wanted_strategies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.domain.signal import Signal
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import BarStore, StrategyRecord, StrategyStore

COLUMNS = ("session", "strategy", "symbol", "direction", "strength", "price", "reason")
SKIPPED = ("strategy", "symbol", "session", "why")
CHART_SESSIONS = 90


@dg.asset(
    deps=["enriched_features"],
    group_name="trading",
    kinds={"postgres", "mlflow"},
    check_specs=[signals_are_whole, run_is_tracked],
    description="Direction and strength by strategy and instrument, with the digests of what was read.",
)
def signals(
    context: dg.AssetExecutionContext,
    config: ChainConfig,
    postgres: Postgres,
    calendar: Calendar,
    mlflow: Mlflow,
    settings: dg.ResourceParam[SettingsInForce],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Decide on validated bars and their features, store the signals, and track the run."""
    in_force, store, book = settings.get(), postgres.bars(), postgres.strategies()
    days = session_days(context)
    mlflow.begin(context.run, {"mode": config.mode(in_force).value, "sessions": show.date_range(days)})
    sessions = calendar.sessions(days)
    instruments = store.instruments(config.wanted_symbols(postgres, days))
    strategies = wanted_strategies(book, config.strategy_id, config.mode(in_force), in_force.account)
    decided = decide_sessions(
        store,
        calendar.load(),
        strategies=strategies,
        instruments=instruments,
        sessions=sessions,
        window_sessions=in_force.market.warm_up_sessions,
        directory=in_force.strategies.directory,
        models=bootstrap.models(in_force),
        analysts=bootstrap.analysts(in_force, context.run.run_id),
    )
    found = decided.signals
    tracked = mlflow.tracked(context.run)
    written = book.save_signals(
        found,
        bases=decided.bases,
        dagster_run_id=context.run.run_id,
        mlflow_run_id=tracked.run_id,
        mlflow_page=tracked.page,
    )
    if any(record.kind == "llm_analyst" for record in strategies):
        kept = bootstrap.llm_calls(in_force)
        calls = kept.calls(run=context.run.run_id)
        seen = sorted({call.picture_sha256 for call in calls if call.picture_sha256})
        mlflow.trace(context.run, calls, {f"seen-{name[:16]}.png": kept.picture(name) for name in seen})
    chart = _chart(store, book, calendar.load(), instruments, sessions[-1])
    counts = Counter(signal.direction.value for signal in found)
    mlflow.log(
        context.run,
        metrics={"signals": len(found), **{f"signals_{name}": count for name, count in counts.items()}},
        params=_params(strategies, instruments, sessions) | rests_on(bootstrap.version(in_force), found),
        files={"chart.png": chart},
    )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(found),
            "written": written,
            "sessions": show.date_range(days),
            "strategies": ", ".join(record.id for record in strategies) or "none is enabled",
            "directions": ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none",
            "mlflow": show.link(tracked.word),
            "signals": show.table([_row(signal) for signal in reversed(found)], COLUMNS),
            "without_signal": show.table([dict(zip(SKIPPED, row, strict=True)) for row in decided.skipped], SKIPPED),
            # Dagster repeats what is shown for each partition of a run, and a chart is large.
            **({"chart": show.picture(chart)} if len(sessions) == 1 else {}),
        },
        check_results=[
            judge_signals(decided, strategies, instruments, sessions),
            judge_tracking(tracked),
        ],
    )


def _row(signal: "Signal") -> dict[str, object]:
    return {
        "session": signal.session_date,
        "strategy": f"{signal.strategy_id} v{signal.strategy_version}",
        "symbol": signal.symbol,
        "direction": signal.direction.value,
        "strength": signal.strength,
        "price": signal.reference_price,
        "reason": signal.reason,
    }


def _params(
    strategies: "Sequence[StrategyRecord]", instruments: "Sequence[Instrument]", sessions: "Sequence[TradingSession]"
) -> dict[str, str]:
    """What decided, for MLflow to compare runs by."""
    params = {
        "symbols": ",".join(instrument.symbol for instrument in instruments),
        "first_session": str(sessions[0].day),
        "last_session": str(sessions[-1].day),
    }
    for record in strategies:
        params[f"{record.id}.kind"] = record.kind
        params[f"{record.id}.version"] = str(record.version)
        params[f"{record.id}.sizing"] = record.sizing
        params |= {f"{record.id}.{name}": str(value) for name, value in record.params.items()}
        params |= {f"{record.id}.risk.{name}": str(value) for name, value in record.risk.items()}
    return params


def _chart(
    store: "BarStore",
    book: "StrategyStore",
    calendar: "ExchangeCalendar",
    instruments: "Sequence[Instrument]",
    session: "TradingSession",
) -> bytes:
    """Prices with indicators and all signals there are, up to the last session of the run.

    Features are stored for the sessions that were asked for; the chart shows what was before them too.
    """
    from ibkr_assets.features.chart import MOST_PANELS, draw_chart
    from ibkr_assets.features.compute import compute_features
    from ibkr_assets.features.definition import WARM_UP_BARS
    from ibkr_assets.market.adjustment import adjust

    shown = sorted(instruments, key=lambda instrument: instrument.symbol)[:MOST_PANELS]
    conids = [instrument.conid for instrument in shown]
    window = calendar.sessions_before(session.day, CHART_SESSIONS + WARM_UP_BARS)
    bars = store.load_bars(conids, BarSize.DAY, window[0].opens_at, session.closes_at, is_validated=True)
    bars = adjust(bars, store.load_actions(conids), as_of=session.day)
    signals = book.signals(session.day, since=window[WARM_UP_BARS].day)
    left_out = len(instruments) - len(shown)
    return draw_chart(bars, compute_features(bars), signals, sessions=CHART_SESSIONS, left_out=left_out)

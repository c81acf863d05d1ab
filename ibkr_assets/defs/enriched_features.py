"""The asset `enriched_features`: the named feature set of every accepted bar of the run's sessions."""

from collections import Counter

import dagster as dg

from ibkr_assets.defs import metadata as show
from ibkr_assets.defs.checks import count_features, features_are_numbers, judge_features
from ibkr_assets.defs.resources import Calendar, Postgres
from ibkr_assets.defs.run_config import ChainConfig, session_days
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.features.definition import FEATURES, WARM_UP_BARS, feature_digest


@dg.asset(
    deps=["validated_bars"],
    group_name="market_data",
    kinds={"postgres"},
    check_specs=[features_are_numbers],
    description="Averages, oscillators, bands, ranges and returns of each accepted bar, stored by feature digest.",
)
def enriched_features(
    context: dg.AssetExecutionContext,
    config: ChainConfig,
    postgres: Postgres,
    calendar: Calendar,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Compute the features from validated bars only, their warm-up included, and store the sessions' rows."""
    from ibkr_assets.ingest.features import build_features
    from ibkr_assets.ingest.parts import in_parts

    days = session_days(context)
    store = postgres.bars()
    sessions = calendar.sessions(days)
    instruments = store.instruments(config.wanted_symbols(postgres, days))
    start = calendar.load().sessions_before(days[0], WARM_UP_BARS)[0].opens_at
    counts: Counter[str] = Counter()
    for part in in_parts(instruments, len(sessions)) or [instruments]:
        features = build_features(
            store, calendar.load(), instruments=part, sessions=sessions, progress=context.log.info
        )
        conids = [instrument.conid for instrument in part]
        bars = store.load_bars(
            conids, BarSize.DAY, start, sessions[-1].closes_at, is_validated=True, has_versions=False
        )
        counts.update(count_features(features, bars, sessions))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": counts["rows"],
            "sessions": show.date_range(days),
            "symbols": ", ".join(instrument.symbol for instrument in instruments),
            "feature_digest": feature_digest(),
            "features": show.frame_table(features, ("conid", "opened_at", *FEATURES)),
        },
        check_results=[judge_features(counts)],
    )

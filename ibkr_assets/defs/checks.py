"""What must be true of each asset before the next one may use it.

What goes here: the checks' names and their verdicts. What does not: the judgement of single bars
(`market.validation`), the gate before orders (`execution.proof`), which holds where no check has run, and the order
ledger (`order_checks`). They are evaluated in the step of their asset: a step of its own for each would cost more than
the asset. All that block end the run; a warning is shown and nothing more.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

import dagster as dg

from ibkr_assets.defs import metadata as show
from ibkr_assets.defs.tracking import Tracked
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.market.reasons import MOST_QUARANTINED, Reason

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.execution.decisions import SessionDecisions
    from ibkr_assets.ingest.validation import ValidationReport
    from ibkr_assets.ports import BarStore, StrategyRecord

bars_are_complete = dg.AssetCheckSpec(
    "bars_are_complete",
    asset="raw_bars",
    blocking=True,
    description="Each session has bars. Symbols without one are listed; a session without any stops the run.",
)
bars_are_sound = dg.AssetCheckSpec(
    "bars_are_sound",
    asset="validated_bars",
    blocking=True,
    description="No gap, at most 2 % of the bars in quarantine, and none that looks like a corporate action.",
)
features_are_numbers = dg.AssetCheckSpec(
    "features_are_numbers",
    asset="enriched_features",
    blocking=True,
    description="Each accepted bar has its row, and after the warm-up no feature is missing.",
)
signals_are_whole = dg.AssetCheckSpec(
    "signals_are_whole",
    asset="signals",
    blocking=True,
    description="Each strategy has a signal with a finite strength for each of its symbols, or a reason why not.",
)
run_is_tracked = dg.AssetCheckSpec(
    "run_is_tracked",
    asset="signals",
    description="The run has its MLflow run. Only a warning: nothing that trades depends on it.",
)


def judge_completeness(
    store: "BarStore", instruments: Sequence[Instrument], sessions: Sequence[TradingSession]
) -> dg.AssetCheckResult:
    """Which of the wanted bars are not in the store."""
    from ibkr_assets.ingest.parts import in_parts

    first, last = min(s.opens_at for s in sessions), max(s.closes_at for s in sessions)
    missing: list[tuple[str, date]] = []
    filled: set[datetime] = set()
    for part in in_parts(instruments, len(sessions)):
        conids = [instrument.conid for instrument in part]
        bars = store.load_bars(conids, BarSize.DAY, first, last, has_versions=False)
        own = {conid: set(opened_at) for conid, opened_at in bars.groupby("conid")["opened_at"]}
        for instrument in part:
            there = own.get(instrument.conid, set())
            filled |= there
            missing += [(instrument.symbol, s.day) for s in sessions if s.opens_at not in there]
    empty = [s.day for s in sessions if s.opens_at not in filled]
    return dg.AssetCheckResult(
        check_name=bars_are_complete.name,
        passed=not missing,
        severity=dg.AssetCheckSeverity.ERROR if empty else dg.AssetCheckSeverity.WARN,
        metadata={
            "missing": len(missing),
            "sessions_without_bars": ", ".join(map(str, empty)) or "none",
            "missing_bars": show.table([{"symbol": s, "session": d} for s, d in missing], ("symbol", "session")),
        },
    )


def judge_soundness(report: "ValidationReport") -> dg.AssetCheckResult:
    """Gaps, too many bars in quarantine, and bars that look like a corporate action."""
    suspects = int((report.quarantined["reason"] == Reason.SPLIT_SUSPECT).sum())
    judged = len(report.accepted) + len(report.quarantined)
    share = len(report.quarantined) / judged if judged else 1.0
    return dg.AssetCheckResult(
        check_name=bars_are_sound.name,
        passed=not report.missing and share <= MOST_QUARANTINED and not suspects,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "gaps": len(report.missing),
            "quarantined_share": show.number(share),
            "judged": judged,
            "suspects": suspects,
        },
    )


def count_features(
    features: "pd.DataFrame", bars: "pd.DataFrame", sessions: Sequence[TradingSession]
) -> dict[str, int]:
    """Rows there are, rows there should be, and by feature how many values are missing where there are bars enough.

    `bars` are the accepted bars of the sessions, and of as many sessions before them as the longest warm-up takes.
    """
    from ibkr_assets.features.definition import DEFINITIONS

    key = ["conid", "opened_at"]
    ranked = bars[key].assign(bars_before=bars.groupby("conid").cumcount())
    there = features.merge(ranked, on=key, how="left")
    expected = int(bars["opened_at"].isin([session.opens_at for session in sessions]).sum())
    absent = {d.name: int((there[d.name].isna() & (there["bars_before"] >= d.warm_up)).sum()) for d in DEFINITIONS}
    return {"rows": len(features), "rows_expected": expected, **absent}


def judge_features(counts: Mapping[str, int]) -> dg.AssetCheckResult:
    """Missing rows, and missing values: what `count_features` counted."""
    numbers = ("rows", "rows_expected")
    incomplete = {name: count for name, count in counts.items() if count and name not in numbers}
    return dg.AssetCheckResult(
        check_name=features_are_numbers.name,
        passed=not incomplete and counts["rows"] == counts["rows_expected"],
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            **{name: counts[name] for name in numbers},
            "missing_values": show.table([incomplete], incomplete) if incomplete else dg.MetadataValue.md("none"),
        },
    )


def judge_signals(
    decided: "SessionDecisions",
    strategies: Sequence["StrategyRecord"],
    instruments: Sequence[Instrument],
    sessions: Sequence[TradingSession],
) -> dg.AssetCheckResult:
    """A signal or a reason for each; the strength's bounds are the signal's own (`domain.signal`)."""
    symbols = {instrument.symbol for instrument in instruments}
    expected = {(r.id, symbol, s.day) for r in strategies for symbol in symbols & set(r.symbols) for s in sessions}
    found = [(s.strategy_id, s.symbol, s.session_date) for s in decided.signals]
    skipped = {(strategy, symbol, day) for strategy, symbol, day, _ in decided.skipped}
    lost = sorted(expected - set(found) - skipped)
    return dg.AssetCheckResult(
        check_name=signals_are_whole.name,
        passed=not lost and len(found) == len(set(found)) and all(math.isfinite(s.strength) for s in decided.signals),
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "signals": len(found),
            "without_signal": len(skipped),
            "expected": len(expected),
            "lost": show.table(
                [{"strategy": a, "symbol": b, "session": c} for a, b, c in lost], ("strategy", "symbol", "session")
            ),
        },
    )


def judge_tracking(tracked: Tracked) -> dg.AssetCheckResult:
    """Whether MLflow has the run."""
    return dg.AssetCheckResult(
        check_name=run_is_tracked.name,
        passed=tracked.run_id is not None,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"mlflow": tracked.word},
    )

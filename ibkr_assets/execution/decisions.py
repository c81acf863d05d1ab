"""From stored bars and features to stored signals, session by session, for every strategy that is wanted.

What goes here: which strategies, which window of the past each session may see, and storing what was decided. What
does not: how a strategy decides (`strategies`). The window has the same length however many sessions a run has, so
a backfill decides what each single run would have decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.order import Mode
from ibkr_assets.market.schedule import parse_schedule

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    import pandas as pd

    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.lineage import Basis
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.domain.signal import Signal
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import BarStore, StrategyRecord, StrategyStore
    from ibkr_assets.strategies.analyst import Analysts
    from ibkr_assets.strategies.model_score import Models


def enabled_strategies(store: StrategyStore, account: str | None) -> list[StrategyRecord]:
    """The strategies that run on the platform of this account: those enabled that name it or none."""
    return [record for record in store.strategies(is_enabled_only=True) if record.account in (None, account)]


#: Sessions read beyond what strategies remember, for a few that have no bar.
SPARE_SESSIONS = 5


def wanted_strategies(
    store: StrategyStore, strategy_id: str | None, mode: Mode, account: str | None
) -> list[StrategyRecord]:
    """All enabled strategies, or the one named.

    Raises InputError when it is unknown, of another account, or disabled and not rehearsed.
    """
    if strategy_id is None:
        return enabled_strategies(store, account)
    known = {record.id: record for record in store.strategies() if record.account in (None, account)}
    if strategy_id not in known:
        raise InputError(f"strategy_id {strategy_id!r}: not known; known are {sorted(known)}")
    if mode is not Mode.DRY_RUN and not known[strategy_id].is_enabled:
        raise InputError(f"strategy_id {strategy_id!r}: is disabled, and can only be rehearsed (dry_run)")
    return [known[strategy_id]]


def strategies_due(
    store: StrategyStore, session: TradingSession, calendar: ExchangeCalendar, account: str | None
) -> list[StrategyRecord]:
    """The enabled strategies that decide at the close of `session`, as their schedules say.

    Raises ConfigurationError for a schedule that cannot be read.
    """
    enabled = enabled_strategies(store, account)
    return [record for record in enabled if parse_schedule(record.schedule).decides_on(session, calendar)]


def extra_symbols(record: StrategyRecord, symbols: Sequence[str]) -> list[str]:
    """The market's symbols and the strategy's, for a run that is asked for it; empty where it needs no others."""
    return [] if set(record.symbols) <= set(symbols) else list(dict.fromkeys([*symbols, *record.symbols]))


@dataclass(frozen=True, slots=True)
class SessionDecisions:
    """Signals in order of session and strategy, and the instruments without one: (strategy, symbol, session, why).

    `bases` says of each signal what it rests on.
    """

    signals: list[Signal]
    skipped: list[tuple[str, str, date, str]]
    bases: dict[Signal, Basis]


def decide_sessions(
    bar_store: BarStore,
    calendar: ExchangeCalendar,
    *,
    strategies: Sequence[StrategyRecord],
    instruments: Sequence[Instrument],
    sessions: Sequence[TradingSession],
    window_sessions: int,
    directory: Path | None = None,
    models: Models | None = None,
    analysts: Analysts | None = None,
) -> SessionDecisions:
    """What each strategy says of its instruments at the end of each session; it can see `window_sessions` before it.

    Only validated bars are read, in the shares of each session: splits after it are not known to it. A strategy's own
    symbols are narrowed to `instruments`. `directory` holds the user's own kinds, `models` leads to registered models,
    `analysts` to language models; without them a strategy that asks one abstains. Sessions that a schedule leaves out
    give no signal. Raises ConfigurationError for a kind that is neither shipped nor there.
    """
    from ibkr_assets.features.definition import feature_digest
    from ibkr_assets.market.adjustment import adjust, effective
    from ibkr_assets.strategies.decide import decide_signals
    from ibkr_assets.strategies.registry import build_strategy

    decided = SessionDecisions([], [], {})
    if not sessions or not strategies:
        return decided
    built = [
        (
            record,
            build_strategy(
                record.kind,
                record.params,
                directory=directory,
                models=models,
                analyst=None if analysts is None else analysts(record.id, record.version),
            ),
        )
        for record in strategies
    ]
    conids = [instrument.conid for instrument in instruments]
    starts = {s.day: calendar.sessions_before(s.day, window_sessions)[0].opens_at for s in sessions}
    memory = max(strategy.memory_bars for _, strategy in built)
    bars = _load_bars(bar_store, calendar, conids, sessions, window_sessions, memory)
    actions = bar_store.load_actions(conids)
    first, end = min(s.opens_at for s in sessions), max(s.closes_at for s in sessions)
    if any(strategy.features for _, strategy in built):
        first = min(starts.values())
    features = bar_store.load_features(conids, BarSize.DAY, first, end, feature_digest=feature_digest())
    for session in sessions:
        of_bars = (bars["opened_at"] >= starts[session.day]) & (bars["opened_at"] < session.closes_at)
        of_features = (features["opened_at"] >= starts[session.day]) & (features["opened_at"] < session.closes_at)
        shown = bars.loc[of_bars]
        if actions:
            shown = adjust(shown, actions, as_of=session.day)
        till_now = {
            conid: effective([action for action in actions if action.conid == conid], session.day)
            for conid in {action.conid for action in actions}
        }
        for record, strategy in built:
            own = [i for i in instruments if i.symbol in record.symbols]
            if not parse_schedule(record.schedule).decides_on(session, calendar):
                why = f"decides {record.schedule}, not after this session"
                decided.skipped.extend((record.id, i.symbol, session.day, why) for i in own)
                continue
            decisions = decide_signals(
                record.id,
                record.version,
                strategy,
                bars=shown,
                features=features.loc[of_features],
                session=session,
                instruments=own,
                absent=sorted(set(record.symbols) - {instrument.symbol for instrument in own}),
                actions=till_now,
            )
            decided.signals.extend(decisions.signals)
            decided.bases.update(zip(decisions.signals, decisions.bases, strict=True))
            decided.skipped.extend((record.id, s.symbol, session.day, s.reason) for s in decisions.skipped)
    return decided


def _load_bars(
    bar_store: BarStore,
    calendar: ExchangeCalendar,
    conids: Sequence[int],
    sessions: Sequence[TradingSession],
    window_sessions: int,
    memory_bars: int,
) -> pd.DataFrame:
    """Validated bars: as many as the strategies remember, and where sessions have no bar, the whole window."""
    import pandas as pd

    first, end = min(s.day for s in sessions), max(s.closes_at for s in sessions)
    window = calendar.sessions_before(first, window_sessions)
    recent = window[-min(len(window), memory_bars + SPARE_SESSIONS) :]
    bars = bar_store.load_bars(conids, BarSize.DAY, recent[0].opens_at, end, is_validated=True)
    if len(recent) == len(window):
        return bars
    opens_at = min(s.opens_at for s in sessions)
    counts = bars.loc[bars["opened_at"] <= opens_at, "conid"].value_counts()
    short = [conid for conid in conids if counts.get(conid, 0) < memory_bars]
    if not short:
        return bars
    others = bar_store.load_bars(short, BarSize.DAY, window[0].opens_at, end, is_validated=True)
    both = pd.concat([bars[~bars["conid"].isin(short)], others])
    return both.sort_values(["conid", "opened_at"], kind="stable", ignore_index=True)

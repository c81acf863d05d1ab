"""Yesterday's decisions taken again on the bars of today, traded by the backtest, and held beside what happened.

What goes here: which decisions there were or should have been, and what each was sized by. What does not: the trading
and the money (`backtest.parity`), and reading what happened (`adapters.postgres.parity`). A review is not taken again:
an order that a rule denied was to be expected as denied, and `execution.replay` computes reviews.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.signal import Direction

if TYPE_CHECKING:
    from pathlib import Path

    from ibkr_assets.backtest.parity import Case, Comparison, Happened
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.domain.signal import Signal
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import BarStore, StrategyRecord, StrategyStore
    from ibkr_assets.strategies.analyst import Analysts
    from ibkr_assets.strategies.model_score import Models

_SIGNS = {Direction.LONG: 1, Direction.FLAT: 0, Direction.SHORT: -1}
Reader = Callable[[date, datetime], "Happened"]


@dataclass(frozen=True, slots=True)
class SessionParity:
    """The decisions of one session, each compared, and those that cannot be: strategy, symbol, why."""

    day: date
    comparisons: tuple[Comparison, ...]
    uncompared: tuple[tuple[str, str, str], ...]

    @property
    def total_usd(self) -> Decimal:
        """All differences together."""
        return sum((comparison.total for comparison in self.comparisons), Decimal(0))

    @property
    def is_exact(self) -> bool:
        """Whether everything could be compared and nothing differs."""
        return not self.uncompared and all(comparison.is_exact for comparison in self.comparisons)

    def by_cause(self) -> dict[str, Decimal]:
        """The sum of each cause, in USD."""
        from ibkr_assets.backtest.parity import CAUSES

        return {cause: sum((getattr(c, cause) for c in self.comparisons), Decimal(0)) for cause in CAUSES}


class Parity:
    """Comparisons on one platform. `read` gives what happened of a session's decisions before an opening."""

    def __init__(
        self,
        bar_store: BarStore,
        strategy_store: StrategyStore,
        read: Reader,
        version_of: Callable[[str, int], StrategyRecord],
        calendar: ExchangeCalendar,
        *,
        window_sessions: int,
        account: str | None,
        directory: Path | None = None,
        models: Models | None = None,
        analysts: Analysts | None = None,
    ) -> None:
        """`version_of` gives a strategy as it was; window, directory and models are those of live decisions.

        `analysts` know what was answered then, and ask nobody.
        """
        self._bars, self._strategies, self._read, self._version_of = bar_store, strategy_store, read, version_of
        self._calendar, self._window, self._account = calendar, window_sessions, account
        self._directory, self._models, self._analysts = directory, models, analysts

    def last_day(self, now: datetime) -> date:
        """The newest session whose orders' own session is over at the market's time `now`."""
        return self._calendar.previous_session(self._calendar.last_closed(now).day).day

    def compare(self, day: date, now: datetime) -> SessionParity:
        """The decisions at the close of `day`. Raises InputError while the session that they were for is not over."""
        session, following = self._calendar.session(day), self._calendar.next_session(day)
        if now < following.closes_at:
            raise InputError(
                f"session {day}: its orders are for {following.day}, which is not over at {now.isoformat()}"
            )
        happened = self._read(day, following.opens_at)
        comparisons: list[Comparison] = []
        uncompared: list[tuple[str, str, str]] = []
        for record in self._deciding(session, happened):
            for symbol, case in self._cases(record, session, following, happened).items():
                if isinstance(case, str):
                    uncompared.append((record.id, symbol, case))
                else:
                    comparisons.append(_compare(case))
        return SessionParity(day, tuple(comparisons), tuple(uncompared))

    def _deciding(self, session: TradingSession, happened: Happened) -> list[StrategyRecord]:
        """The strategies that decided, as they were, and those of earlier days that should have and did not."""
        from ibkr_assets.execution.decisions import strategies_due

        versions = {s.strategy_id: s.strategy_version for s in self._strategies.signals(session.day)}
        due = strategies_due(self._strategies, session, self._calendar, self._account)
        missed = [
            record
            for record in due
            if record.id not in versions and happened.first_days.get(record.id, session.day) < session.day
        ]
        return [*(self._version_of(name, version) for name, version in sorted(versions.items())), *missed]

    def _cases(
        self, record: StrategyRecord, session: TradingSession, following: TradingSession, happened: Happened
    ) -> dict[str, Case | str]:
        """By symbol: what is to be compared, or why it cannot be. Symbols that nobody decided on are left out."""
        from ibkr_assets.execution.decisions import decide_sessions
        from ibkr_assets.execution.measures import split_by_measures

        instruments = self._bars.instruments(record.symbols)
        again = decide_sessions(
            self._bars, self._calendar, strategies=[record], instruments=instruments, sessions=[session],
            window_sessions=self._window, directory=self._directory, models=self._models,
            analysts=self._analysts,
        )  # fmt: skip
        now = {signal.conid: signal for signal in again.signals}
        then = {signal.conid: signal for signal in self._strategies.signals(session.day, record.id)}
        measures, _ = split_by_measures(list(now.values()), record.sizing, self._bars, session)
        conids = [instrument.conid for instrument in instruments]
        bars = self._bars.load_bars(conids, BarSize.DAY, session.opens_at, following.closes_at)
        cases: dict[str, Case | str] = {}
        for instrument in instruments:
            key = (record.id, instrument.conid)
            signal = now.get(instrument.conid)
            if signal is None and instrument.conid not in then and key not in happened.fills:
                continue
            own = bars[bars["conid"] == instrument.conid].reset_index(drop=True)
            nav = happened.nav_usd.get(key, happened.account_nav_usd)
            if len(own) != 2:
                cases[instrument.symbol] = f"{len(own)} bars of {session.day} and {following.day}, both are needed"
            elif nav is None:
                cases[instrument.symbol] = f"no net asset value before {following.opens_at.isoformat()}"
            else:
                shares = _size(signal, record.sizing, nav, instrument, measures)
                cases[instrument.symbol] = _case(
                    record.id, instrument, signal, then.get(instrument.conid), shares, own, happened
                )
        return cases


def _size(
    signal: Signal | None,
    sizing: str,
    nav_usd: Decimal,
    instrument: Instrument,
    measures: Mapping[Signal, Mapping[str, Decimal]],
) -> Decimal:
    """Shares that a new position has; none for a signal that cannot be sized."""
    from ibkr_assets.portfolio.sizing import size_targets

    if signal is None or signal not in measures:
        return Decimal(0)
    (target,) = size_targets(
        [signal], sizing, nav_usd=nav_usd, instruments=[instrument], measures={instrument.conid: measures[signal]}
    )
    return abs(target.quantity)


def _case(
    strategy_id: str,
    instrument: Instrument,
    signal: Signal | None,
    stored: Signal | None,
    shares: Decimal,
    bars: object,
    happened: Happened,
) -> Case:
    from ibkr_assets.backtest.parity import Case

    key = (strategy_id, instrument.conid)
    held, orders = happened.held.get(key, Decimal(0)), happened.orders.get(key, ())
    standing = 0 if held == 0 else 1 if held > 0 else -1
    wanted = standing if signal is None else _SIGNS[signal.direction]
    for order in orders:
        if order.is_denied:  # a closing that is denied leaves what is held, an opening leaves nothing
            wanted = standing if standing and order.leg == 0 else 0
            break
    notes = [order.note for order in orders]
    if not _is_same(signal, stored):
        notes.insert(0, f"decided then: {_say(stored)}; on the bars of today: {_say(signal)}")
    return Case(
        strategy_id=strategy_id, symbol=instrument.symbol, held=held, wanted=wanted, shares=shares,
        limit=next((order.limit for order in orders if not order.is_denied), None), bars=bars,
        fills=tuple(happened.fills.get(key, ())), is_as_decided=_is_same(signal, stored), note="; ".join(notes),
    )  # fmt: skip


def _is_same(one: Signal | None, other: Signal | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.direction, one.strength, one.reference_price) == (
        other.direction,
        other.strength,
        other.reference_price,
    )


def _say(signal: Signal | None) -> str:
    return "nothing" if signal is None else f"{signal.direction} at {signal.reference_price}"


def _compare(case: Case) -> Comparison:
    from ibkr_assets.backtest.parity import compare

    return compare(case)

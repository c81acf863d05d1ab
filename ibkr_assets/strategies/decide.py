"""From validated bars and features to signals at the end of one session, with the proof of what was read.

What goes here: which rows each instrument's strategy is shown, and when there is no signal. What does not: the
opinion itself (the strategy's) and the size of a position (`portfolio`). Nothing is decided on an older bar in
place of the session's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ibkr_assets.domain.analysis import Abstention
from ibkr_assets.domain.bar import BAR_COLUMNS
from ibkr_assets.domain.errors import DataError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.lineage import Basis
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.domain.signal import Signal
from ibkr_assets.strategies.input_proof import InputProof
from ibkr_assets.strategies.strategy import Compares, Strategy

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.features.state import Actions


@dataclass(frozen=True, slots=True)
class Skipped:
    """An instrument without a signal, and why."""

    symbol: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decisions:
    """What one strategy decided in one session, and what each signal rests on. Iterating gives the signals."""

    signals: tuple[Signal, ...]
    skipped: tuple[Skipped, ...]
    #: One a signal; equal decisions may rest on different features that nothing was decided by.
    bases: tuple[Basis, ...] = field(default=(), compare=False)

    def __iter__(self) -> Iterator[Signal]:
        return iter(self.signals)

    def __len__(self) -> int:
        return len(self.signals)


def decide_signals(
    record_id: str,
    record_version: int,
    strategy: Strategy,
    *,
    bars: pd.DataFrame,
    features: pd.DataFrame,
    session: TradingSession,
    instruments: Sequence[Instrument],
    absent: Sequence[str] = (),
    actions: Mapping[int, Actions] = MappingProxyType({}),
) -> Decisions:
    """One signal an instrument, in the order of `instruments`, or the reason why there is none.

    `bars` has BAR_COLUMNS, `version` and `row_sha`, validated bars only, ordered by conid and time, and may reach
    further back than needed: a strategy is shown its last `memory_bars` up to the session's own, and the signal's
    `input_digest` names exactly these, with those of the whole universe where it was compared. `features` (`conid`,
    `opened_at`, one column each) is read for the names the strategy asks for. Later bars are not looked at. A strategy
    with a bracket gives no signal: its stop could not be sent. `absent` are symbols of the strategy that are not among
    the instruments: one that compares its universe gives no signal then. Prices are in the shares of the session;
    `actions` are those with effect till then, by conid. With a column `factor` beside the bars, stored features in the
    instrument's currency are brought into the same shares.
    Raises DataError for a missing column or bars out of order.
    """
    from ibkr_assets.features.definition import feature_digest
    from ibkr_assets.features.frame import check_order

    _check_columns(bars, (*BAR_COLUMNS, "version", "row_sha"))
    _check_columns(features, ("conid", "opened_at", *strategy.features))
    check_order(bars)
    signals: list[Signal] = []
    skipped: list[Skipped] = []
    bases: list[Basis] = []
    shown = _Shown(strategy, bars, features, session, instruments, absent)
    newest, proof = _newest_features(features, session), InputProof(bars)
    comparison = proof.compare(shown.compared_rows, actions, shown.compared) if shown.compared_rows else None
    for instrument in instruments:
        history, reason = shown.of(instrument)
        if history is None:
            skipped.append(Skipped(instrument.symbol, reason))
            continue
        rows = shown.rows(instrument.conid)
        opinion = strategy.decide(history)
        if opinion is None:
            skipped.append(Skipped(instrument.symbol, _why_none(strategy, len(history))))
            continue
        if isinstance(opinion, Abstention):
            skipped.append(Skipped(instrument.symbol, opinion.reason))
            continue
        signals.append(
            Signal(
                strategy_id=record_id,
                strategy_version=record_version,
                conid=instrument.conid,
                symbol=instrument.symbol,
                session_date=session.day,
                as_of=session.closes_at,
                direction=opinion.direction,
                strength=opinion.strength,
                reference_price=Decimal(repr(float(history["close"].iloc[-1]))),
                feature_digest=feature_digest(),
                input_digest=proof.digest(rows, actions.get(instrument.conid, ()), comparison),
                reason=opinion.reason,
            )
        )
        bases.append(
            Basis(
                words=strategy.words,
                numbers=dict(zip(opinion.numbers, _finite(opinion.numbers.values()), strict=True)),
                bars=proof.bars(rows),
                shown={name: _finite(history[name]) for name in shown.names},
                features=newest.get(instrument.conid, {}),
                actions=actions.get(instrument.conid, ()),
                comparison=comparison,
            )
        )
    return Decisions(tuple(signals), tuple(skipped), tuple(bases))


class _Shown:
    """What a strategy is shown of each instrument at the end of one session, or why nothing."""

    def __init__(
        self,
        strategy: Strategy,
        bars: pd.DataFrame,
        features: pd.DataFrame,
        session: TradingSession,
        instruments: Sequence[Instrument],
        absent: Sequence[str],
    ) -> None:
        self._strategy, self._session = strategy, session
        self._bars = bars.copy()  # columns of one type together: every history is cut out of these
        self._features = features
        self._rows, self._of_features = _Rows(bars, session), _Rows(features, session)
        self._stored = self.names = strategy.features
        self._obstacle: str | None = None
        self._compared: Mapping[int, pd.DataFrame] = {}
        #: Columns found by comparing, and by conid where the bars stand that were compared.
        self.compared: tuple[str, ...] = ()
        self.compared_rows: Mapping[int, slice] = {}
        if isinstance(strategy, Compares):
            self.compared = strategy.compared
            self.names = (*strategy.features, *strategy.compared)
            if set(strategy.compared) <= set(features.columns):  # a decision that is computed again from its record
                self._stored = self.names
            else:
                self._compare(strategy, instruments, absent)

    def of(self, instrument: Instrument) -> tuple[pd.DataFrame | None, str]:
        """The bars with what the strategy reads beside them, or None and the reason."""
        import pandas as pd

        if self._strategy.bracket is not None:
            return None, "its stop and target can be backtested only, not sent"
        history = self._history(instrument)
        if history is None:
            return None, f"no validated bar of session {self._session.day}"
        if self._obstacle is not None:
            return None, self._obstacle
        own = self._features.iloc[self._of_features.of(instrument.conid)] if self._stored else self._features
        shown = _with_features(history, own, self._stored)
        if self._compared:
            shown = shown.join(self._compared[instrument.conid])
        absent = [name for name in self.names if pd.isna(shown[name].iloc[-1])]
        if absent:
            return None, f"no value of {', '.join(absent)} at session {self._session.day}"
        return shown, ""

    def _compare(self, strategy: Compares, instruments: Sequence[Instrument], absent: Sequence[str]) -> None:
        histories = {instrument.conid: self._history(instrument) for instrument in instruments}
        missing = [*absent, *(i.symbol for i in instruments if histories[i.conid] is None)]
        if missing:
            self._obstacle = f"compares its whole universe, and {', '.join(missing)} cannot be compared"
            return
        self._compared = strategy.compare({conid: own for conid, own in histories.items() if own is not None})
        self.compared_rows = {conid: self.rows(conid) for conid in histories}

    def rows(self, conid: int) -> slice:
        """Where its newest bars up to the session's own stand, as many as the strategy remembers."""
        rows = self._rows.of(conid)
        return slice(max(rows.start, rows.stop - self._strategy.memory_bars), rows.stop)

    def _history(self, instrument: Instrument) -> pd.DataFrame | None:
        """Its newest bars up to the session's own; None where that is not there."""
        rows = self.rows(instrument.conid)
        if rows.start == rows.stop or self._rows.moments[rows.stop - 1] != self._rows.newest:
            return None
        return self._bars.iloc[rows].reset_index(drop=True)  # a frame of its own, that a strategy may write to


class _Rows:
    """Where the rows of an instrument stand in a frame ordered by conid and time, up to the session's own."""

    def __init__(self, frame: pd.DataFrame, session: TradingSession) -> None:
        import numpy as np

        self.conids = frame["conid"].to_numpy()
        self.moments = frame["opened_at"].to_numpy(dtype="datetime64[ns]")
        self.newest = np.datetime64(session.opens_at.replace(tzinfo=None), "ns")

    def of(self, conid: int) -> slice:
        first, last = self.conids.searchsorted([conid, conid + 1]).tolist()
        return slice(first, first + int(self.moments[first:last].searchsorted(self.newest, side="right")))


def _newest_features(features: pd.DataFrame, session: TradingSession) -> dict[int, dict[str, float | None]]:
    """All stored features at the session's bar, by conid."""
    rows = features[features["opened_at"] == session.opens_at]
    names = [name for name in features.columns if name not in ("conid", "opened_at")]
    values = rows[names].to_numpy(dtype="float64").tolist()
    conids = rows["conid"].tolist()
    return {conid: dict(zip(names, _finite(own), strict=True)) for conid, own in zip(conids, values, strict=True)}


def _finite(values: Iterable[Any]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def _why_none(strategy: Strategy, bars: int) -> str:
    if bars < strategy.warm_up_bars:
        return f"{bars} validated bars, {strategy.warm_up_bars} are needed"
    return f"nothing in {bars} validated bars says to change what is held"


def _with_features(history: pd.DataFrame, features: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    if not names:
        return history
    from ibkr_assets.features.definition import PRICE_FEATURES

    key = ["conid", "opened_at"]
    shown = history.merge(features[[*key, *names]], on=key, how="left", validate="one_to_one")
    if "factor" in history.columns:
        in_price = [name for name in names if name in PRICE_FEATURES]
        shown[in_price] = shown[in_price].mul(shown["factor"], axis=0)
    return shown


def _check_columns(frame: pd.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"columns {missing}: missing; the frame has {list(frame.columns)}")

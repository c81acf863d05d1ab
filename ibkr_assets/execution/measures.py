"""The stored features that a position is sized by, of exactly the bar that its signal was decided on.

What goes here: reading them, and holding back a signal that cannot be sized. What does not: the formulas
(`portfolio.sizing`). A measure that is missing is never replaced by another bar's or by a default.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import DataError

if TYPE_CHECKING:
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.domain.signal import Signal
    from ibkr_assets.portfolio.sizing import Measures
    from ibkr_assets.ports import BarStore


def split_by_measures(
    signals: Sequence[Signal], sizing: str, store: BarStore, session: TradingSession
) -> tuple[dict[Signal, Measures], list[tuple[Signal, str]]]:
    """The signals of `session` that `sizing` can size, each with its measures, and the others with what is wrong.

    Features are those the signal names by its digest. Raises ConfigurationError for a bad `sizing`.
    """
    from ibkr_assets.portfolio.sizing import check_measures
    from ibkr_assets.portfolio.sizing_spec import parse_sizing

    parsed = parse_sizing(sizing)
    found = _load(signals, parsed.features, store, session) if parsed.features else {}
    measured: dict[Signal, Measures] = {}
    refused: list[tuple[Signal, str]] = []
    for signal in signals:
        measures = found.get(signal, {})
        try:
            check_measures(signal, parsed, measures)
        except DataError as error:
            refused.append((signal, str(error)))
        else:
            measured[signal] = measures
    return measured, refused


def _load(
    signals: Sequence[Signal], names: Sequence[str], store: BarStore, session: TradingSession
) -> dict[Signal, Measures]:
    by_digest: defaultdict[str, list[Signal]] = defaultdict(list)
    for signal in signals:
        by_digest[signal.feature_digest].append(signal)
    measures: dict[Signal, Measures] = {}
    for digest, of_digest in by_digest.items():
        frame = store.load_features(
            [signal.conid for signal in of_digest],
            BarSize.DAY,
            session.opens_at,
            session.closes_at,  # daily bars are stamped at their opening: one each
            feature_digest=digest,
        )
        known = [name for name in names if name in frame.columns]
        rows = {int(row["conid"]): row for row in frame[["conid", *known]].to_dict("records")}
        for signal in of_digest:
            row = rows.get(signal.conid, {})
            measures[signal] = {name: Decimal(repr(float(row[name]))) for name in known if name in row}
    return measures

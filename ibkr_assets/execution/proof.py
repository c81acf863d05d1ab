"""Which signals may become orders: those whose instrument has an accepted bar of the signal's own session.

What goes here: that one question, asked of the store when orders are proposed. What does not: judging bars
(`market.validation`) and the rules of an order (`risk`). Checks stop a run that went wrong; this stops also the run
that begins later, or again, or alone. Proof that is missing denies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ibkr_assets.domain.bar import BarSize

if TYPE_CHECKING:
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.domain.signal import Signal
    from ibkr_assets.ports import BarStore


def split_by_proof(
    signals: Sequence[Signal], store: BarStore, session: TradingSession
) -> tuple[list[Signal], list[tuple[Signal, str]]]:
    """The signals of `session` that rest on an accepted bar, and the others, each with what is wrong.

    A bar is accepted when validation has judged its current version and let it pass.
    """
    conids = sorted({signal.conid for signal in signals})
    bars = store.load_bars(conids, BarSize.DAY, session.opens_at, session.closes_at, is_validated=True)
    accepted = set(bars["conid"])
    proven = [s for s in signals if s.session_date == session.day and s.conid in accepted]
    refused = [(s, _fault(s, session)) for s in signals if s not in proven]
    return proven, refused


def _fault(signal: Signal, session: TradingSession) -> str:
    if signal.session_date != session.day:
        return f"the signal is of {signal.session_date}, not of {session.day}"
    return f"no accepted bar of {session.day}"

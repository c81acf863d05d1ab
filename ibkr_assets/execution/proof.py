"""Which signals may become orders: those that rest on bars which are proven now.

What goes here: that one question, asked of the store when orders are proposed. What does not: judging bars
(`market.validation`), finding what a signal read (`adapters.postgres.proofs`) and the rules of an order (`risk`).
Checks stop a run that went wrong; this stops also the run that begins later, or again, or alone, or after a correction.
Proof that is missing denies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ibkr_assets.domain.bar import BarSize

if TYPE_CHECKING:
    from datetime import date

    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.domain.signal import Signal
    from ibkr_assets.ports import BarStore


def split_by_proof(
    signals: Sequence[Signal], store: BarStore, session: TradingSession, order_day: date
) -> tuple[list[Signal], list[tuple[Signal, str]]]:
    """The signals of `session` that rest on proven bars, and the others, each with what is wrong and with which bar.

    The session's own bar must be there and accepted, whatever the signal read; then every bar version that it read.
    The broker and the calendar must agree when the contract trades on `order_day`, the session of the order.
    """
    conids = sorted({signal.conid for signal in signals})
    bars = store.load_bars(
        conids, BarSize.DAY, session.opens_at, session.closes_at, is_validated=True, has_versions=False
    )
    accepted = set(bars["conid"])
    faults = store.input_faults(signals, order_day) if signals else {}
    proven = [s for s in signals if s.session_date == session.day and s.conid in accepted and s not in faults]
    refused = [(s, faults.get(s) or _fault(s, session)) for s in signals if s not in proven]
    return proven, refused


def _fault(signal: Signal, session: TradingSession) -> str:
    if signal.session_date != session.day:
        return f"the signal is of {signal.session_date}, not of {session.day}"
    return f"no accepted bar of {session.day}"

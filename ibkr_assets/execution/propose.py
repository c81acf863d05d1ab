"""From signals to stored intents: size, plan, review, store. Nothing here sends.

What goes here: the order of those steps and the facts a review gets. What does not: the arithmetic (`portfolio`),
the rules (`risk`), and sending (`execution.submitter`). Doing it again stores nothing new and returns what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.domain.order import Mode
from ibkr_assets.domain.plain import to_plain
from ibkr_assets.risk.engine import Facts, Limits

if TYPE_CHECKING:
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.order import OrderIntent
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.domain.signal import Signal
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.portfolio.sizing import Measures
    from ibkr_assets.ports import Clock, IntentBook, IntentRecord, StrategyRecord
    from ibkr_assets.risk.engine import Decision, Exposure


def propose_orders(
    signals: Sequence[Signal],
    *,
    strategy: StrategyRecord,
    book: IntentBook,
    instruments: Sequence[Instrument],
    calendar: ExchangeCalendar,
    clock: Clock,
    limits: Limits,
    account_ref: str,
    mode: Mode,
    platform_mode: Mode,
    dagster_run_id: str | None,
    created_by: str,
    measures: Mapping[Signal, Measures] = MappingProxyType({}),
) -> list[IntentRecord]:
    """Propose what one strategy's signals ask for, session by session, and return every intent's record.

    `mode` is the intents' (`dry_run` for a rehearsal), `platform_mode` the platform's. `measures` are what each
    signal's bar gives the sizing (`execution.measures`); they are stored with the plan. A signal that was planned
    before gives the intents of that plan, whatever is held by now. Raises Unavailable while the account has no net
    asset value, ConfigurationError when `mode` is neither dry_run nor the platform's, DataError where the sizing needs
    a measure that is not there.
    """
    if mode not in (Mode.DRY_RUN, platform_mode):
        raise ConfigurationError(f"mode: orders of mode {mode} are refused on a platform of mode {platform_mode}")
    records: list[IntentRecord] = []
    in_order = sorted(signals, key=lambda signal: (signal.session_date, signal.symbol))
    for day, grouped in groupby(in_order, key=lambda signal: signal.session_date):
        of_day = list(grouped)
        by_conid = {signal.conid: measures.get(signal, {}) for signal in of_day}
        plan = partial(
            _plan,
            sizing=strategy.sizing,
            measures=by_conid,
            instruments=instruments,
            session=calendar.session(day),
            next_session=calendar.next_session(day),
            account_ref=account_ref,
            mode=mode,
            now=clock.now(),
            collars={signal.conid: _collar_fraction(book, signal, limits) for signal in of_day},
        )
        for intent in book.plan_once(
            of_day,
            plan,
            account_ref=account_ref,
            mode=mode,
            dagster_run_id=dagster_run_id,
            sizing=_explain(plan, by_conid),
        ):
            now = clock.now()
            review = review_with(book, intent, limits=limits, platform_mode=platform_mode, now=now, calendar=calendar)
            records.append(
                book.propose(
                    intent, review, now=now, dagster_run_id=dagster_run_id, created_by=created_by, limits=limits
                )
            )
    return records


def _plan(
    signals: Sequence[Signal],
    held_and_working: Mapping[int, Decimal],
    nav_usd: Decimal,
    *,
    sizing: str,
    measures: Mapping[int, Measures],
    instruments: Sequence[Instrument],
    session: TradingSession,
    next_session: TradingSession,
    account_ref: str,
    mode: Mode,
    now: datetime,
    collars: Mapping[int, Decimal],
) -> Sequence[OrderIntent]:
    from ibkr_assets.portfolio.rebalance import plan_orders
    from ibkr_assets.portfolio.sizing import size_targets

    return plan_orders(
        size_targets(signals, sizing, nav_usd=nav_usd, instruments=instruments, measures=measures),
        held_and_working,
        instruments=instruments,
        account_ref=account_ref,
        mode=mode,
        session=session,
        next_session=next_session,
        now=now,
        price_collar_fraction=collars,
    )


def _collar_fraction(book: IntentBook, signal: Signal, limits: Limits) -> Decimal:
    """How far from its reference price a signal's limit may be: what the review will allow, as a fraction.

    Where the daily range is not known the fraction alone is planned with, and the review denies.
    """
    from ibkr_assets.risk.price import collar_usd

    atr = book.average_true_range(signal.conid, signal.as_of)
    if atr is None:
        return limits.price_collar_fraction
    return collar_usd(signal.reference_price, atr, limits) / signal.reference_price


def _explain(plan: partial[Sequence[OrderIntent]], measures: Mapping[int, Measures]) -> dict[int, dict[str, Any]]:
    """By conid: what, beside signal, NAV and shares, gives the same size and orders again; exact numbers are text."""
    given = plan.keywords
    by_conid = {instrument.conid: to_plain(instrument) for instrument in given["instruments"]}
    shared = {name: to_plain(given[name]) for name in ("session", "next_session", "now")}
    return {
        conid: {
            "spec": given["sizing"], "measures": to_plain(dict(of)), "instrument": by_conid.get(conid), **shared,
            "price_collar_fraction": to_plain(given["collars"].get(conid)),
        }
        for conid, of in measures.items()
    }  # fmt: skip


def review_with(
    book: IntentBook,
    intent: OrderIntent,
    *,
    limits: Limits,
    platform_mode: Mode,
    now: datetime,
    calendar: ExchangeCalendar,
) -> Callable[[OrderIntent, Exposure], Decision]:
    """The review of one intent, with all that is known of it alone read now; what orders share is read when it is held.

    `now` is the market clock.
    """
    from ibkr_assets.risk.engine import review

    known = book.circumstances(intent)
    facts = Facts(
        now=now,
        mode=platform_mode,
        nav_usd=known.nav_usd,
        killed_by=known.killed_by,
        instrument=known.instrument,
        data=replace(known.data, signal_age_bars=age_in_bars(calendar, intent.signal_bar_end, now)),
        platform=known.platform,
    )
    return lambda proposed, exposure: review(proposed, facts, exposure, limits)


def age_in_bars(calendar: ExchangeCalendar, bar_end: datetime, now: datetime) -> Decimal | None:
    """Sessions that have closed since `bar_end`, and the part of a running one that is over; None for days unknown.

    A bar that ends later than now has no age.
    """
    if now < bar_end:
        return None
    try:
        sessions = calendar.sessions(bar_end.date(), now.date())
    except InputError:
        return None
    parts = [
        (min(now, session.closes_at) - session.opens_at) / (session.closes_at - session.opens_at)
        for session in sessions
        if session.opens_at >= bar_end and session.opens_at < now
    ]
    return Decimal(repr(round(sum(parts), 6)))

"""From signals to stored intents: size, plan, review, store. Nothing here sends.

What goes here: the order of those steps and the facts a review gets. What does not: the arithmetic (`portfolio`),
the rules (`risk`), and sending (`execution.submitter`). Doing it again stores nothing new and returns what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ibkr_assets.domain.errors import ConfigurationError
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
            price_collar_fraction=limits.price_collar_fraction,
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
            review = review_with(book, intent, limits=limits, platform_mode=platform_mode, now=now)
            records.append(book.propose(intent, review, now=now, dagster_run_id=dagster_run_id, created_by=created_by))
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
    price_collar_fraction: Decimal,
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
        price_collar_fraction=price_collar_fraction,
    )


def _explain(plan: partial[Sequence[OrderIntent]], measures: Mapping[int, Measures]) -> dict[int, dict[str, Any]]:
    """By conid: what, beside signal, NAV and shares, gives the same size and orders again; exact numbers are text."""
    given = plan.keywords
    by_conid = {instrument.conid: to_plain(instrument) for instrument in given["instruments"]}
    shared = {name: to_plain(given[name]) for name in ("session", "next_session", "now", "price_collar_fraction")}
    return {
        conid: {"spec": given["sizing"], "measures": to_plain(dict(of)), "instrument": by_conid.get(conid), **shared}
        for conid, of in measures.items()
    }


def review_with(
    book: IntentBook, intent: OrderIntent, *, limits: Limits, platform_mode: Mode, now: datetime
) -> Callable[[OrderIntent, Exposure], Decision]:
    """The review of one intent, its facts read now: NAV, kills, the market clock and the platform's mode."""
    from ibkr_assets.risk.codes import DenialCode
    from ibkr_assets.risk.engine import Approved, Denied, hear
    from ibkr_assets.risk.facts import InstrumentFacts
    from ibkr_assets.risk.rules import RULES

    nav = book.net_asset_value(intent.account_ref)
    facts = Facts(
        now=now,
        mode=platform_mode,
        nav_usd=None if nav is None else nav[0],
        killed_by=book.killed_by(intent.account_ref, intent.strategy_id, intent.conid),
        instrument=InstrumentFacts(average_true_range=intent.reference_price),
    )
    heard = [
        DenialCode.MODE, DenialCode.KILL, DenialCode.VALIDITY, DenialCode.ALLOW_LIST, DenialCode.PRICE_COLLAR,
        DenialCode.ORDER_VALUE, DenialCode.POSITION, DenialCode.NO_SHORT,
    ]  # fmt: skip

    def decide(proposed: OrderIntent, exposure: Exposure) -> Decision:
        findings = hear([RULES[code] for code in heard], proposed, facts, exposure, limits)
        failed = next((finding for finding in findings if not finding.is_passed), None)
        if failed is None:
            return Approved(proposed, findings, facts)
        return Denied(proposed, failed.code, failed.text, findings, facts)

    return decide

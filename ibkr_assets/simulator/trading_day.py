"""What happens to orders at an open, at each minute, at a close, and when trading outside regular hours ends.

A bar that is over is tried first, then the open of the next one. Orders are tried in the order in which they came,
and together they take no more than a tenth of a bar's volume. At what price an order trades is `matching`'s decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

from ibkr_assets.domain.session import TradingSession
from ibkr_assets.simulator.bars import TapeBar
from ibkr_assets.simulator.desk import Desk
from ibkr_assets.simulator.entitlements import entitlement, payments
from ibkr_assets.simulator.hours import MINUTE, minute_of, time_of
from ibkr_assets.simulator.matching import Match, match_at_price, match_in_range
from ibkr_assets.simulator.tape import ActionKind, CorporateAction, Moment
from ibkr_assets.simulator.venue_order import VenueOrder

#: The part of a bar's volume that all orders together may take.
VOLUME_SHARE = Decimal("0.10")


class TradingDay:
    """Tries live orders at the tape's moments."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tape = desk.tape
        self._session: TradingSession | None = None
        self._by_minute: frozenset[int] = frozenset()

    def pass_moment(self, at: datetime, moment: Moment, session: TradingSession) -> None:
        """Let one moment of a session happen."""
        self._begin(session)
        if moment is Moment.OPEN:
            self._open(at, session)
        elif moment is Moment.CLOSE:
            self._close(at, session)
        else:
            is_regular = session.opens_at < at < session.closes_at
            self._try_minute_over(at, is_regular=is_regular)
            if moment is Moment.MINUTE:
                self._try_minute_open(at, is_regular=is_regular)
                self._end_immediate(at, is_regular=is_regular)
            else:
                self._end_day(at, session)

    def next_minute(self, first: datetime, last: datetime, session: TradingSession) -> datetime | None:
        """The first minute boundary from `first` to `last` at which a live order may trade or move; None for none.

        An order that rests at a price has nothing to do before a minute touches it.
        """
        self._begin(session)
        is_regular = session.opens_at < first < session.closes_at
        begins, ends = minute_of(first), minute_of(last)
        found: int | None = None
        for order in self._desk.book.live.values():
            if order.is_held or not _takes_part(order, is_regular=is_regular):
                continue
            if not is_regular:
                return first
            if order.conid not in self._by_minute:
                continue
            resting = _resting_price(order)
            if resting is None:
                return first
            price, is_fall = resting
            touched = self._tape.first_touch(order.conid, begins - 1, ends + 1, price, is_fall=is_fall)
            if touched is not None and (found is None or touched < found):
                found = touched
        return None if found is None else time_of(max(found, begins))

    def _begin(self, session: TradingSession) -> None:
        if session is not self._session:
            self._session = session
            conids = self._tape.contracts
            self._by_minute = frozenset(conid for conid in conids if self._tape.is_by_minute(conid, session))

    # ---- the moments

    def _open(self, at: datetime, session: TradingSession) -> None:
        self._try_minute_over(at, is_regular=False)
        for payment in list(payments(self._desk.book, at, session.day)):
            self._desk.record(payment)
        for action in self._tape.actions_on(session.day):
            self._act(at, action)
        for order in self._orders():
            if order.is_for_close:
                self._desk.refresh(order, at)
                continue
            bar = self._opening_bar(order.conid, session)
            if bar is None:
                self._desk.refresh(order, at)
            else:
                self._take(at, order, match_at_price(order, bar.open), bar, session.opens_at)
        for order in self._orders():
            if order.time_in_force in ("OPG", "IOC"):
                self._desk.cancel(order, f"not filled at the open of {session.day}", at)

    def _close(self, at: datetime, session: TradingSession) -> None:
        for order in self._orders(stops_first=True):
            if order.time_in_force == "OPG" or order.is_for_close:
                continue
            bar, start = self._closing_bar(order.conid, session)
            if bar is not None:
                self._try_over(at, order, bar, start)
        for order in self._orders():
            bar, start = self._closing_bar(order.conid, session)
            whole = self._tape.bar(order.conid, session.day)
            if order.is_for_close and bar is not None and whole is not None:
                self._take(at, order, match_at_price(order, whole.close), bar, start)
        is_on = self._tape.is_extended(at)
        for order in list(self._desk.book.live.values()):
            if not order.is_live:
                continue
            if order.time_in_force in ("GTC", "OPG") or order.is_held or (is_on and _trades_outside(order)):
                self._desk.refresh(order, at)
            else:
                self._desk.cancel(order, f"not filled by the close of {session.day}", at)
        if is_on:
            self._try_minute_open(at, is_regular=False)

    def _end_day(self, at: datetime, session: TradingSession) -> None:
        for order in self._orders():
            if order.time_in_force == "GTC":
                self._desk.refresh(order, at)
            elif _trades_outside(order):
                self._desk.cancel(order, f"not filled by the end of {session.day}", at)

    def _try_minute_over(self, at: datetime, *, is_regular: bool) -> None:
        minute, start = minute_of(at) - 1, at - MINUTE
        for order in self._orders(stops_first=True):
            if _takes_part(order, is_regular=is_regular):
                bar = self._tape.minute_bar(order.conid, minute)
                if bar is not None:
                    self._try_over(at, order, bar, start)

    def _try_minute_open(self, at: datetime, *, is_regular: bool) -> None:
        minute = minute_of(at)
        for order in self._orders():
            if _takes_part(order, is_regular=is_regular):
                bar = self._tape.minute_bar(order.conid, minute)
                if bar is not None:
                    self._take(at, order, match_at_price(order, bar.open), bar, at)
                elif not is_regular:
                    self._desk.refresh(order, at)

    def _end_immediate(self, at: datetime, *, is_regular: bool) -> None:
        for order in self._orders():
            is_tried = _takes_part(order, is_regular=is_regular) and (not is_regular or order.conid in self._by_minute)
            if order.time_in_force == "IOC" and is_tried and order.worked_since < at:
                self._desk.cancel(order, "not filled at once", at)

    # ---- orders and bars

    def _orders(self, *, stops_first: bool = False) -> Iterator[VenueOrder]:
        """Orders that may trade, each looked at when its turn comes: one fill may end another order.

        Which of a group's prices a bar visited first is unknown; the stop counts as first, the worse for the account.
        """
        orders = list(self._desk.book.live.values())
        if stops_first:
            orders.sort(key=lambda order: order.group is not None and not order.is_stop)
        for order in orders:
            if order.is_live and not order.is_held:
                yield order

    def _opening_bar(self, conid: int, session: TradingSession) -> TapeBar | None:
        if conid in self._by_minute:
            return self._tape.minute_bar(conid, minute_of(session.opens_at))
        return self._tape.bar(conid, session.day)

    def _closing_bar(self, conid: int, session: TradingSession) -> tuple[TapeBar | None, datetime]:
        if conid in self._by_minute:
            start = session.closes_at - MINUTE
            return self._tape.minute_bar(conid, minute_of(start)), start
        return self._tape.bar(conid, session.day), session.opens_at

    def _try_over(self, at: datetime, order: VenueOrder, bar: TapeBar, start: datetime) -> None:
        # A child that its parent's fill at the open released was there for the rest of the bar.
        is_released_then = order.parent_id is not None and order.worked_since == start
        has_seen_open = order.worked_since < start or is_released_then
        match = match_in_range(order, bar) if has_seen_open else match_at_price(order, bar.close)
        self._take(at, order, match, bar, start)

    def _take(self, at: datetime, order: VenueOrder, match: Match, bar: TapeBar, start: datetime) -> None:
        is_triggered = order.is_triggered or (order.is_stop and match.is_triggered)
        self._desk.refresh(order, at, is_triggered=is_triggered, stop=match.stop)
        if match.price is None:
            return
        key = start.isoformat()
        share = (bar.volume * VOLUME_SHARE).to_integral_value(ROUND_FLOOR)
        quantity = min(order.tradable, share - self._desk.book.taken_of(order.conid, key))
        if quantity > 0:
            self._desk.fill(order, order.conid, order.side, quantity, match.price, at, key)

    def _act(self, at: datetime, action: CorporateAction) -> None:
        if action.kind is ActionKind.SPLIT:
            # IBKR cancels good-till-cancelled orders when a stock splits; what is entered for the day is left alone.
            for order in list(self._desk.book.live.values()):
                if order.is_live and order.conid == action.conid and order.time_in_force == "GTC":
                    self._desk.cancel(order, f"split on {action.ex_day}", at)
        record = entitlement(self._desk.book, self._tape, at, action)
        if record is not None:
            self._desk.record(record)


def _trades_outside(order: VenueOrder) -> bool:
    return order.is_outside_rth and order.order_type == "LMT" and order.time_in_force != "OPG"


def _takes_part(order: VenueOrder, *, is_regular: bool) -> bool:
    if not is_regular:
        return _trades_outside(order)
    return order.time_in_force != "OPG" and not order.is_for_close


def _resting_price(order: VenueOrder) -> tuple[Decimal, bool] | None:
    """The price before which nothing happens to an order, and whether the market must fall to it; None: any may."""
    if order.time_in_force == "IOC" or (order.is_trailing and not order.is_triggered):
        return None
    if order.is_stop and not order.is_triggered:
        assert order.stop is not None
        return order.stop, not order.is_buy
    if order.limit is None or order.order_type == "MIDPRICE":
        return None
    return order.limit, order.is_buy

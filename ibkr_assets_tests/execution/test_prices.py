"""Quotes for many orders that wait to leave: asked for together, and an order is never refused for having waited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from ibkr_assets.domain.broker import Quote
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.execution.prices import ASKED_AT_ONCE, QUOTE_AGE_S, QUOTE_WAIT_S, Prices, Sighting
from ibkr_assets_tests.execution.desk import EVENING, HandClock, an_intent

COUNT = 300


@dataclass
class Venue:
    """A broker that gives good quotes of all contracts but some, at three seconds a call."""

    time: HandClock
    silent: set[int] = field(default_factory=set)
    calls: list[int] = field(default_factory=list)

    def quotes(self, instruments: Sequence[Instrument]) -> dict[int, Quote]:
        self.calls.append(len(instruments))
        self.time.pass_time(3.0)
        ten = Decimal(10)
        return {
            i.conid: Quote(i.conid, ten, ten, ten, is_halted=False, availability="R", updated_at=EVENING)
            for i in instruments
            if i.conid not in self.silent
        }


def records() -> list[Any]:
    return [SimpleNamespace(intent_id=str(n), intent=an_intent(n, conid=n)) for n in range(1, COUNT + 1)]


def a_round(prices: Prices, waiting: list[Any], time: HandClock, *, leaving_takes_s: float) -> dict[str, Sighting]:
    """One look at each order, as the submitter's; what may be held against a quote leaves."""
    prices.begin_round()
    seen = {}
    for record in list(waiting):
        sighting = prices.sight(record, EVENING, waiting)
        if sighting is not None:
            seen[record.intent_id] = sighting
            time.pass_time(leaving_takes_s)
    waiting[:] = [record for record in waiting if record.intent_id not in seen]
    return seen


def test_orders_that_grow_old_in_the_queue_are_quoted_again_and_none_is_held_against_nothing() -> None:
    time = HandClock()
    venue = Venue(time)
    prices = Prices(SimpleNamespace(broker=venue, monotonic=time))  # type: ignore[arg-type]
    waiting = records()
    rounds = 0
    while waiting:
        rounds += 1
        assert rounds < 50
        seen = a_round(prices, waiting, time, leaving_takes_s=0.5)
        assert len(venue.calls) == rounds
        assert len(seen) <= ASKED_AT_ONCE
        assert all(sighting.quote is not None for sighting in seen.values())
    assert rounds >= COUNT * 0.5 // QUOTE_AGE_S


def test_contracts_without_a_price_cost_a_call_a_round_and_a_hundred_at_a_time_are_given_up_after_the_wait() -> None:
    time = HandClock()
    venue = Venue(time, silent=set(range(1, COUNT + 1)))
    prices = Prices(SimpleNamespace(broker=venue, monotonic=time))  # type: ignore[arg-type]
    waiting, began, given_up = records(), time.seconds, {}
    while waiting:
        given_up |= a_round(prices, waiting, time, leaving_takes_s=0.0)
        time.pass_time(1.0)
    assert [sighting.quote for sighting in given_up.values()] == [None] * COUNT
    assert max(venue.calls) == ASKED_AT_ONCE
    assert QUOTE_WAIT_S < time.seconds - began < COUNT / ASKED_AT_ONCE * 2 * QUOTE_WAIT_S
    assert len(venue.calls) < COUNT / ASKED_AT_ONCE * 5

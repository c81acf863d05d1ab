"""Five thousand executions, repeated, shuffled, corrected and taken back: the books have each once, as it last was."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from ibkr_assets.adapters.postgres.account_history import load_history
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.account import Fill
from ibkr_assets.domain.order import Mode, Side
from ibkr_assets.portfolio.statement import results_by_position
from ibkr_assets_tests.execution.desk import ACCOUNT, REF

AT = datetime(2012, 10, 2, 13, 30, tzinfo=UTC)
MANY = 5_000
CASH = Decimal(1_000_000)


def execution(chance: random.Random, number: int, revision: int = 1) -> Fill:
    return Fill(
        execution_id=f"0000e0d5.{number:08x}.01.{revision:02d}",
        client_order_id=None,
        broker_order_id=f"b{number}",
        conid=1000 + number % 37,
        symbol=f"S{number % 37}",
        side=chance.choice(list(Side)),
        quantity=Decimal(chance.randint(1, 400)),
        price=Decimal(chance.randint(1, 9_000_000)) / 10_000,
        commission=Decimal(chance.randint(0, 300)) / 100,
        executed_at=AT + timedelta(seconds=number),
    )


class Market:
    """What happened, kept as a person would with a list: the last word on each execution."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.words: list[Fill] = []
        self.vanished: list[Fill] = []
        self.stands: dict[int, Fill] = {}
        self.corrected = self.busted = 0
        for number in range(MANY):
            self._happen(number)

    def _happen(self, number: int) -> None:
        first = execution(self.chance, number)
        self.words.append(first)
        self.stands[number] = first
        fate = self.chance.random()
        if fate < 0.25:
            for revision in range(2, 2 + self.chance.randint(1, 3)):
                changed = replace(execution(self.chance, number, revision), side=first.side)
                self.words.append(changed)
                self.stands[number] = changed
            self.corrected += 1
        elif fate < 0.32:
            quantity = -first.quantity if fate < 0.29 else Decimal(0)
            self.words.append(replace(first, execution_id=first.execution_id[:-2] + "02", quantity=quantity,
                                      commission=Decimal(0)))  # fmt: skip
            del self.stands[number]
            self.busted += 1
        elif fate < 0.36:
            self.vanished.append(first)
            del self.stands[number]
            self.busted += 1

    def cash(self) -> Fraction:
        total = Fraction(CASH)
        for one in self.stands.values():
            value = Fraction(one.quantity) * Fraction(one.price)
            total += (-value if one.side is Side.BUY else value) - Fraction(one.commission)
        return total

    def shares(self) -> dict[int, int]:
        held: defaultdict[int, int] = defaultdict(int)
        for one in self.stands.values():
            held[one.conid] += int(one.quantity) if one.side is Side.BUY else -int(one.quantity)
        return {conid: shares for conid, shares in held.items() if shares}

    def realized(self) -> dict[int, Fraction]:
        """By average cost: what closes takes its part of the cost of what is open."""
        open_: dict[int, tuple[Fraction, Fraction]] = {}
        made: defaultdict[int, Fraction] = defaultdict(Fraction)
        for _, one in sorted(self.stands.items()):
            shares, cost = open_.get(one.conid, (Fraction(0), Fraction(0)))
            change = Fraction(one.quantity) * (1 if one.side is Side.BUY else -1)
            price = Fraction(one.price)
            if shares * change < 0:
                closing = min(abs(shares), abs(change)) * (1 if shares > 0 else -1)
                given = cost * closing / shares
                made[one.conid] += closing * price - given
                shares, cost, change = shares - closing, cost - given, change + closing
            open_[one.conid] = (shares + change, cost + change * price)
        return made

    def first_in_first_out(self, conid: int) -> tuple[Fraction, Fraction]:
        """Realised, and the cost of what is open, lot by lot: together with a mark the same result as by average."""
        lots: list[tuple[Fraction, Fraction]] = []
        made = Fraction(0)
        for one in (one for _, one in sorted(self.stands.items()) if one.conid == conid):
            left = Fraction(one.quantity) * (1 if one.side is Side.BUY else -1)
            price = Fraction(one.price)
            while left and lots and lots[0][0] * left < 0:
                shares, cost = lots.pop(0)
                closed = min(abs(shares), abs(left)) * (1 if shares > 0 else -1)
                made += closed * (price - cost)
                left += closed
                if shares != closed:
                    lots.insert(0, (shares - closed, cost))
            if left:
                lots.append((left, price))
        return made, sum((shares * cost for shares, cost in lots), Fraction(0))


def test_positions_and_cash_have_no_error_after_five_thousand_executions_in_any_shape(database):
    market = Market(seed=20121002)
    ledger = PostgresLedger(database).of_account(REF)
    ledger.lease.register(ACCOUNT, Mode.SIM)
    ledger.account.save_opening(CASH, [], market_at=AT)
    arriving = [word for word in market.words for _ in range(market.chance.choice((1, 1, 1, 2, 3, 5)))]
    market.chance.shuffle(arriving)
    new = revised = 0
    for start in range(0, len(arriving), 700):
        saved = ledger.executions.save_fills(arriving[start : start + 700], epoch=1)
        new, revised = new + saved.new, revised + saved.revised
    assert (new, new + revised) == (MANY, len(market.words))
    for _ in range(2):
        market.chance.shuffle(market.vanished)
        half = len(market.vanished) // 2
        busts = [ledger.executions.save_busts(part, epoch=1) for part in (market.vanished[:half], market.vanished)]
    assert busts == [0, 0]
    books = ledger.account.books()
    assert Fraction(books.cash) == market.cash()
    assert {conid: holding.quantity for conid, holding in books.holdings.items()} == market.shares()
    results = results_by_position(load_history(database, REF))
    expected = market.realized()
    assert {row.conid: row.quantity for row in results if row.quantity} == market.shares()
    for row in results:
        assert abs(Fraction(row.realized) - expected[row.conid]) < Fraction(1, 10**6)
        made, cost = market.first_in_first_out(row.conid)
        rounded = Fraction(abs(row.quantity) + 1) / 10**6
        assert abs((made - cost) - (Fraction(row.realized) - cost_of(row))) < rounded


def cost_of(row) -> Fraction:
    return Fraction(row.average_cost) * Fraction(row.quantity)

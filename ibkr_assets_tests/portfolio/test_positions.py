"""Positions by hand, against average cost in fractions, and the identities that must hold to the last decimal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.account import Fill
from ibkr_assets.domain.errors import DataError
from ibkr_assets.domain.order import Side
from ibkr_assets.portfolio.positions import Adjustment, Opening, Position, Split, count_once, positions_of
from ibkr_assets_tests.portfolio.fills import SYMBOLS, TRADES, WHEN, fill

BUY, SELL = Side.BUY, Side.SELL
LATER = WHEN + timedelta(days=1)


def position(quantity: str, cost: str, realized: str = "0", commissions: str = "0") -> Position:
    return Position(8314, "IBM", *(Decimal(text) for text in (quantity, cost, realized, commissions)))


@pytest.mark.parametrize(
    ("trades", "expected"),
    [
        # (10 x 200 + 30 x 204) / 40 = 203; 15 x (210 - 203) = 105
        ([(BUY, 10, "200"), (BUY, 30, "204"), (SELL, 15, "210")], position("25", "5075", "105", "3")),
        ([(BUY, 10, "200"), (SELL, 10, "190")], position("0", "0", "-100", "2")),
        ([(SELL, 10, "200"), (BUY, 4, "190")], position("-6", "-1200", "40", "2")),
        ([(SELL, 10, "200"), (SELL, 10, "210"), (BUY, 20, "206")], position("0", "0", "-20", "3")),
        ([(BUY, 10, "200"), (SELL, 14, "190")], position("-4", "-760", "-100", "2")),
        ([(SELL, 10, "200"), (BUY, 14, "190")], position("4", "760", "100", "2")),
    ],
)
def test_positions_come_out_as_by_hand(trades: list[tuple[Side, int, str]], expected: Position) -> None:
    assert positions_of([fill(n, *trade) for n, trade in enumerate(trades)]) == {8314: expected}


def test_a_third_of_a_cost_keeps_ten_decimals_and_the_rest_stays_with_what_is_left() -> None:
    (held,) = positions_of([fill(1, BUY, 3, "33.34"), fill(2, SELL, 1, "40"), fill(3, BUY, 4, "1")]).values()
    assert (held.quantity, held.cost, held.realized) == (6, Decimal("70.68"), Decimal("6.66"))
    (held,) = positions_of([fill(1, BUY, 2, "50"), fill(2, BUY, 1, "0.01"), fill(3, SELL, 1, "40")]).values()
    assert (held.cost, held.realized) == (Decimal("66.6733333333"), Decimal("6.6633333333"))
    assert round(held.average_cost, 6) == Decimal("33.336667")


def test_an_execution_counts_once_and_its_newest_revision_only_however_they_come() -> None:
    first, corrected = fill(1, BUY, 10, "200"), fill(1, BUY, 9, "201", revision=2)
    for arriving in ([first, first, corrected], [corrected, first], [corrected, corrected, first]):
        assert count_once(arriving) == [corrected]


def test_one_id_with_two_contents_is_an_error() -> None:
    with pytest.raises(DataError, match=r"0000e0d5.00000001.01.01: two different executions of IBM"):
        count_once([fill(1, BUY, 10, "200"), fill(1, BUY, 11, "200")])


def reference(fills: Sequence[Fill]) -> tuple[Fraction, Fraction]:
    """Shares and average cost of one instrument: share by share, each closing one against the average of the open."""
    held, average = Fraction(0), Fraction(0)
    for one in fills:
        price = Fraction(one.price)
        for _ in range(int(one.quantity)):
            if held * one.side.sign >= 0:
                average = (abs(held) * average + price) / (abs(held) + 1)
            held += one.side.sign
    return held, average if held else Fraction(0)


@given(TRADES)
def test_shares_and_cost_are_those_of_a_count_share_by_share(fills: list[Fill]) -> None:
    small = [replace(one, quantity=one.quantity % 12 + 1) for one in fills]
    for conid, held in positions_of(small).items():
        in_order = sorted((f for f in small if f.conid == conid), key=lambda f: (f.executed_at, f.execution_id))
        quantity, average = reference(in_order)
        assert held.quantity == quantity
        assert abs(Fraction(held.cost) - quantity * average) < Fraction(len(fills) + 1, 10**9)


@given(TRADES, st.decimals("0.0001", "2000", places=4))
def test_what_is_realised_and_unrealised_is_what_cash_and_marks_say_to_the_last_decimal(
    fills: list[Fill], mark: Decimal
) -> None:
    for conid, held in positions_of(fills).items():
        cash = sum((f.cash_change for f in fills if f.conid == conid), Decimal(0))
        assert held.quantity == sum(f.side.sign * f.quantity for f in fills if f.conid == conid)
        assert held.realized + held.unrealized(mark) - held.commissions == cash + held.quantity * mark
        assert held.cost * held.quantity >= 0


@given(TRADES, st.randoms(use_true_random=False))
def test_the_order_of_arrival_and_repetition_change_nothing(fills: list[Fill], chance) -> None:
    arriving = fills * chance.randint(1, 3)
    chance.shuffle(arriving)
    assert positions_of(arriving) == positions_of(fills)


@given(TRADES, st.randoms(use_true_random=False), st.decimals("0.0001", "2000", places=4))
def test_the_order_within_an_instant_changes_no_total(fills: list[Fill], chance, mark: Decimal) -> None:
    ids = [one.execution_id for one in fills]
    chance.shuffle(ids)
    other = positions_of([replace(one, execution_id=name) for one, name in zip(fills, ids, strict=True)])
    for conid, held in positions_of(fills).items():
        assert held.realized + held.unrealized(mark) == other[conid].realized + other[conid].unrealized(mark)


@given(TRADES, st.data())
def test_taking_an_execution_back_is_never_having_had_it_and_correcting_is_having_had_the_other(
    fills: list[Fill], data: st.DataObject
) -> None:
    fates = data.draw(st.lists(st.sampled_from(["stays", "busted", "corrected"]), min_size=len(fills)))
    revisions, left = [], []
    for one, fate in zip(fills, fates, strict=False):
        second = one.execution_id[:-2] + "02"
        if fate == "busted":
            revisions.append(replace(one, execution_id=second, quantity=Decimal(0), commission=Decimal(0)))
        elif fate == "corrected":
            left.append(replace(one, execution_id=second, price=one.price + 1, quantity=one.quantity + 1))
            revisions.append(left[-1])
        else:
            left.append(one)
    arriving = data.draw(st.permutations([*fills, *revisions]))
    # An instrument of which everything was taken back is there with nothing in it.
    nothing = {conid: Position(conid, symbol) for conid, symbol in SYMBOLS.items()}
    assert nothing | positions_of(arriving) == nothing | positions_of(left)


@given(TRADES, TRADES, st.integers(2, 10))
def test_a_split_changes_shares_and_no_money(before: list[Fill], after: list[Fill], new: int) -> None:
    """Trades after a split in `new` times the shares, at a part of the price, are the trades without it."""
    later = [
        replace(one, execution_id=f"x.{one.execution_id}", executed_at=one.executed_at + timedelta(days=9))
        for one in after
    ]
    later = [replace(one, price=one.price * new) for one in later]
    split_at = WHEN + timedelta(days=8)
    apart = [replace(one, quantity=one.quantity * new, price=one.price / new) for one in later]
    plain = positions_of(before + later)
    split = positions_of(before + apart, [Split(conid, split_at, new, 1) for conid in SYMBOLS])
    assert split == {conid: replace(held, quantity=held.quantity * new) for conid, held in plain.items()}


def test_a_reverse_split_that_leaves_part_of_a_share_wants_the_brokers_number() -> None:
    bought = [fill(1, BUY, 100, "2")]
    (held,) = positions_of(bought, [Split(8314, LATER, 1, 10)]).values()
    assert (held.quantity, held.cost) == (10, 200)
    with pytest.raises(DataError, match=r"split of IBM: 1 for 3 makes 33\.33.* of 100 shares"):
        positions_of(bought, [Split(8314, LATER, 1, 3)])
    (held,) = positions_of(bought, [Adjustment(8314, "IBM", LATER, Decimal(-67))]).values()
    assert (held.quantity, held.cost, held.realized) == (33, 200, 0)


def test_a_split_of_what_is_not_held_is_nothing_and_one_without_numbers_is_an_error() -> None:
    assert positions_of([], [Split(8314, WHEN, 2, 1)]) == {}
    with pytest.raises(DataError, match="both must be positive"):
        positions_of([fill(1, BUY, 1, "1")], [Split(8314, LATER, 0, 1)])


def test_shares_from_before_cost_their_opening_price_and_come_before_trades_of_their_instant() -> None:
    opening = Opening(8314, "IBM", WHEN, Decimal(10), Decimal(190))
    (held,) = positions_of([fill(1, SELL, 10, "200")], [opening]).values()
    assert held == position("0", "0", "100", "1")


@pytest.mark.parametrize(
    ("side", "change", "expected"),
    [
        (BUY, "-10", position("0", "0", "-2000", "1")),  # all shares gone: what they cost is lost
        (SELL, "10", position("0", "0", "2000", "1")),
        (BUY, "-12", position("-2", "0", "-2000", "1")),
        (BUY, "5", position("15", "2000", "0", "1")),
    ],
)
def test_shares_that_come_or_go_without_a_trade_leave_the_cost_to_what_is_left(
    side: Side, change: str, expected: Position
) -> None:
    event = Adjustment(8314, "IBM", LATER, Decimal(change))
    assert positions_of([fill(1, side, 10, "200")], [event]) == {8314: expected}


def test_money_beyond_the_usual_precision_is_not_rounded() -> None:
    huge = Decimal("12345678901234.5678")
    (held,) = positions_of([fill(1, BUY, huge, "999999999999.999999", commission="0.000001")]).values()
    assert Fraction(held.cost) == Fraction(huge) * Fraction("999999999999.999999")

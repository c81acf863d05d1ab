"""Which split a change of shares is: the one that was made, and never one that was not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.order import Side
from ibkr_assets.portfolio.positions import Split
from ibkr_assets.portfolio.splits import Held, find_split
from ibkr_assets_tests.portfolio.fills import WHEN, fill

D = Decimal
NOON = WHEN + timedelta(hours=3)
SPLITS = [(2, 1), (7, 1), (3, 2), (20, 1), (1, 10), (6, 5)]


def held(quantity, cost, price) -> Held:
    return Held(D(quantity), D(cost), D(price))


def found(before: Held, now: Held, *since) -> tuple[int, int] | None:
    split = find_split(8314, before, now, list(since), seen_at=NOON)
    return None if split is None else (split.new, split.old)


@given(
    ratio=st.sampled_from(SPLITS),
    lots=st.integers(1, 500),
    cost=st.decimals("5", "900", places=2),
    price=st.decimals("5", "900", places=2),
    overnight=st.floats(-0.04, 0.04),
    sign=st.sampled_from([1, -1]),
)
def test_a_split_is_recognised_whatever_it_cost_and_wherever_the_price_stood(ratio, lots, cost, price, overnight, sign):
    new, old = ratio
    before = held(sign * lots * 30, cost, price)
    now = held(before.quantity * new / old, cost * old / new, price * old / new * (1 + D(str(round(overnight, 4)))))
    assert found(before, now) == ratio


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (held(70, 200, 205), "bought elsewhere: it cost more"),
        (held(70, "28.57", 205), "came for nothing: the price stayed"),
        (held(10, 200, 30), "the price fell, the shares did not change"),
        (held(71, "28.17", "29.3"), "not a ratio of few shares"),
        (held(3, "666.67", 690), "one for three, and a part of a share in cash"),
        (held(-70, "28.57", "29.3"), "on the other side"),
        (held(0, 0, "29.3"), "gone"),
        (held(70, "28.57", 0), "no price"),
        (held(11, "181.82", "186.4"), "too near to none to be told from a price that moved"),
    ],
)
def test_what_does_not_agree_in_all_three_figures_is_no_split(now, why):
    assert found(held(10, 200, 205), now) is None, why


def test_a_purchase_at_the_opening_of_the_split_is_told_from_it():
    """10 shares become 70 at the opening, and 30 more are bought there: 100, which is not ten for one."""
    bought = replace(fill(1, Side.BUY, 30, "29"), executed_at=WHEN)
    now = Held(D(100), (D(2000) + 30 * D(29)) / 100, D(30))
    split = find_split(8314, held(10, 200, 205), now, [bought], seen_at=NOON)
    assert split == Split(8314, WHEN, 7, 1)


def test_a_purchase_before_the_split_is_split_with_the_rest():
    bought = replace(fill(1, Side.BUY, 10, "204"), executed_at=WHEN)
    now = Held(D(140), D(4040) / 140, D("29.5"))
    split = find_split(8314, held(10, 200, 205), now, [bought], seen_at=NOON)
    assert split == Split(8314, NOON, 7, 1)


def test_nothing_held_before_cannot_have_been_split():
    assert found(held(0, 0, 205), held(10, 200, 205)) is None

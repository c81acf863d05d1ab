"""All rules are heard, the first failure names the denial, and nothing that cannot be evaluated is approved."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.domain.order import Side
from ibkr_assets.risk.engine import Approved, Denied, review
from ibkr_assets.risk.rules import APPROVAL
from ibkr_assets_tests.risk.orders import FACTS, INTENT, LIMITS, NEXT_OPEN, NOTHING, exposure, facts, intent, limits

ANY = st.decimals(allow_nan=True, allow_infinity=True)
SHARES = st.integers(0, 300).map(Decimal)


def test_an_ordinary_order_is_approved_with_a_finding_of_every_rule() -> None:
    decision = review(INTENT, FACTS, NOTHING, LIMITS)
    assert isinstance(decision, Approved)
    assert [f.code for f in decision.findings] == [str(rule.code) for rule in APPROVAL]


def test_the_first_failure_names_the_denial_and_all_are_kept() -> None:
    decision = review(intent(symbol="AAPL"), facts(nav_usd=None, now=NEXT_OPEN), NOTHING, LIMITS)
    assert isinstance(decision, Denied)
    assert decision.code == "validity"
    assert NEXT_OPEN.isoformat() in decision.text
    failed = [f.code for f in decision.findings if not f.is_passed]
    assert failed == [
        "validity", "allow_list", "order_value", "position", "gross", "net", "sector", "daily_notional",
    ]  # fmt: skip
    assert len(decision.findings) == len(APPROVAL)


def test_with_nothing_allowed_nothing_is_approved() -> None:
    decision = review(INTENT, FACTS, NOTHING, limits(allowed_symbols=frozenset()))
    assert isinstance(decision, Denied)
    assert decision.code == "allow_list"


@pytest.mark.parametrize(
    "change", ["max_order_value_usd", "max_order_nav_fraction", "max_position_nav_fraction", "price_collar_fraction"]
)
def test_a_limit_that_is_not_a_number_denies(change: str) -> None:
    assert isinstance(review(INTENT, FACTS, NOTHING, limits(**{change: Decimal("NaN")})), Denied)


@given(ANY, ANY, ANY, ANY, st.sampled_from(Side))
@settings(max_examples=300, deadline=None)
def test_whatever_the_numbers_a_review_answers_and_never_approves_what_it_cannot_judge(
    nav: Decimal, held: Decimal, buys: Decimal, sells: Decimal, side: Side
) -> None:
    decision = review(intent(side=side), facts(nav_usd=nav), exposure(str(held), str(buys), str(sells)), LIMITS)
    if not all(value.is_finite() for value in (nav, held, buys, sells)):
        assert isinstance(decision, Denied)


@given(st.integers(-300, 300), SHARES, SHARES, st.sampled_from(Side), st.integers(1, 300), st.integers(1, 10**6))
@settings(max_examples=400, deadline=None)
def test_whatever_is_approved_keeps_the_limits_in_every_order_of_fills(
    held: int, buys: Decimal, sells: Decimal, side: Side, quantity: int, nav: int
) -> None:
    order = intent(side=side, quantity=Decimal(quantity))
    decision = review(order, facts(nav_usd=Decimal(nav)), exposure(held, str(buys), str(sells)), LIMITS)
    if isinstance(decision, Denied):
        return
    price = Decimal(206)
    most, least = held + buys, held - sells
    if side is Side.BUY:
        most += quantity
    else:
        least -= quantity
        assert least >= 0
    is_smaller = 0 <= least < held if side is Side.SELL else held < most <= 0
    assert is_smaller or quantity * price <= min(10_000, nav / 10)
    assert is_smaller or max(abs(most), abs(least)) * price * 10 <= nav


@given(st.integers(1, 200), st.integers(1, 200))
@settings(deadline=None)
def test_a_smaller_buy_than_an_approved_one_is_approved(quantity: int, other: int) -> None:
    big, small = max(quantity, other), min(quantity, other)
    if isinstance(review(intent(quantity=Decimal(big)), FACTS, exposure(3, 2, 1), LIMITS), Approved):
        assert isinstance(review(intent(quantity=Decimal(small)), FACTS, exposure(3, 2, 1), LIMITS), Approved)

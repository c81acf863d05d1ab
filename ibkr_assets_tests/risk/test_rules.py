"""Each rule at, just within and just beyond its limit, with the figures worked by hand."""

from datetime import timedelta
from decimal import Decimal

import pytest

from ibkr_assets.domain.order import Mode, OrderType, Side
from ibkr_assets.risk import exposure as exposures
from ibkr_assets.risk import instrument, market, permission, price, rules, size
from ibkr_assets.risk.facts import Finding
from ibkr_assets_tests.risk.orders import (
    CLOSE,
    FACTS,
    INTENT,
    LIMITS,
    NEXT_OPEN,
    NOTHING,
    exposure,
    facts,
    intent,
    limits,
)

NAN, INF = Decimal("NaN"), Decimal("Infinity")
MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize("rule", rules.RULES.values())
def test_an_ordinary_order_passes_every_rule_and_says_with_which_numbers(rule: rules.Rule) -> None:
    finding = rule(INTENT, FACTS, NOTHING, LIMITS)
    assert finding.is_passed
    assert finding.text == ""
    assert finding.numbers
    assert all(isinstance(value, str) for value in finding.numbers.values())


def test_every_code_has_a_rule_and_a_description() -> None:
    assert set(rules.RULES) == set(rules.DenialCode)
    assert all(rule.description for rule in rules.RULES.values())
    for code, rule in rules.RULES.items():
        assert rule(INTENT, FACTS, NOTHING, LIMITS).code == code


@pytest.mark.parametrize(
    ("order_mode", "platform", "is_passed"),
    [
        (Mode.DRY_RUN, Mode.LIVE, True),
        (Mode.DRY_RUN, Mode.DRY_RUN, True),
        (Mode.SIM, Mode.SIM, True),
        (Mode.SIM, Mode.LIVE, False),
        (Mode.LIVE, Mode.PAPER, False),
        (Mode.PAPER, Mode.DRY_RUN, False),
    ],
)
def test_only_a_rehearsal_leaves_its_mode(order_mode: Mode, platform: Mode, is_passed: bool) -> None:
    finding = permission.check_mode(intent(mode=order_mode), facts(mode=platform), NOTHING, LIMITS)
    assert finding.is_passed is is_passed


def test_an_active_kill_denies_with_its_reason() -> None:
    finding = permission.check_kill(INTENT, facts(killed_by="fire drill"), NOTHING, LIMITS)
    assert not finding.is_passed
    assert "fire drill" in finding.text
    assert not permission.check_kill(INTENT, facts(killed_by=""), NOTHING, LIMITS).is_passed


@pytest.mark.parametrize(
    ("now", "is_passed"),
    [(CLOSE - MOMENT, False), (CLOSE, True), (NEXT_OPEN - MOMENT, True), (NEXT_OPEN, False)],
)
def test_an_order_is_valid_from_the_close_of_its_bar_until_just_before_its_end(now: object, is_passed: bool) -> None:
    assert market.check_validity(INTENT, facts(now=now), NOTHING, LIMITS).is_passed is is_passed


def test_a_symbol_that_is_not_listed_is_denied_and_an_empty_list_lists_nothing() -> None:
    assert not instrument.check_allow_list(intent(symbol="AAPL"), FACTS, NOTHING, LIMITS).is_passed
    assert not instrument.check_allow_list(INTENT, FACTS, NOTHING, limits(allowed_symbols=frozenset())).is_passed


@pytest.mark.parametrize(
    ("limit", "is_passed"), [("206.00", True), ("206.01", False), ("194.00", True), ("193.99", False)]
)
def test_the_limit_stays_within_three_percent_of_two_hundred(limit: str, is_passed: bool) -> None:
    finding = price.check_price_collar(intent(limit_price=Decimal(limit)), FACTS, NOTHING, LIMITS)
    assert finding.is_passed is is_passed


def test_a_market_order_has_no_collar_and_is_denied() -> None:
    order = intent(order_type=OrderType.MARKET, limit_price=None)
    assert not price.check_price_collar(order, FACTS, NOTHING, LIMITS).is_passed


@pytest.mark.parametrize(
    ("quantity", "limit", "is_passed"),
    [
        (48, "206.00", True),  # 9,888
        (49, "206.00", False),  # 10,094
        (50, "194.00", True),  # 50 x 200: the higher of limit and reference counts
        (51, "194.00", False),
    ],
)
def test_an_order_is_worth_at_most_ten_thousand(quantity: int, limit: str, is_passed: bool) -> None:
    order = intent(quantity=Decimal(quantity), limit_price=Decimal(limit))
    assert size.check_order_value(order, FACTS, NOTHING, LIMITS).is_passed is is_passed


@pytest.mark.parametrize(
    ("held", "sells", "quantity", "is_passed"),
    [(500, 0, 500, True), (500, 1, 500, False), (500, 0, 501, False), (0, 0, 500, False)],
)
def test_a_holding_that_outgrew_the_limit_can_still_be_closed(
    held: int, sells: int, quantity: int, is_passed: bool
) -> None:
    order = intent(side=Side.SELL, quantity=Decimal(quantity))
    assert size.check_order_value(order, FACTS, exposure(held, 0, sells), LIMITS).is_passed is is_passed


def test_the_fraction_of_nav_counts_where_it_is_the_lower_limit() -> None:
    finding = size.check_order_value(INTENT, facts(nav_usd=Decimal(82_399)), NOTHING, LIMITS)
    assert not finding.is_passed
    assert finding.numbers["value_usd"] == "8240.00"
    assert finding.numbers["allowed_usd"] == "8239.90"
    assert size.check_order_value(INTENT, facts(nav_usd=Decimal(82_400)), NOTHING, LIMITS).is_passed


@pytest.mark.parametrize(
    ("held", "buys", "sells", "side", "quantity", "is_passed"),
    [
        (0, 0, 0, Side.BUY, 48, True),  # 48 x 206 = 9,888
        (0, 0, 0, Side.BUY, 49, False),
        (8, 0, 0, Side.BUY, 40, True),
        (9, 0, 0, Side.BUY, 40, False),
        (0, 9, 0, Side.BUY, 40, False),  # an open buy may still fill
        (9, 0, 40, Side.BUY, 40, False),  # an open sale may not, and must not help
        (0, 0, 49, Side.BUY, 1, False),  # the open sales alone are too much
        (500, 0, 0, Side.SELL, 500, True),  # closing is allowed whatever it is worth
        (500, 0, 1, Side.SELL, 500, False),  # one share more than would close it
        (40, 0, 40, Side.SELL, 40, True),  # the second leg of a reversal, the first one still open
        (-500, 0, 0, Side.BUY, 500, True),
        (-500, 100, 0, Side.BUY, 500, False),
        (0, 0, 0, Side.SELL, 49, False),
    ],
)
def test_the_worst_position_is_worth_at_most_a_tenth_of_nav(
    held: int, buys: int, sells: int, side: Side, quantity: int, is_passed: bool
) -> None:
    order = intent(side=side, quantity=Decimal(quantity))
    finding = exposures.check_position(order, FACTS, exposure(held, buys, sells), LIMITS)
    assert finding.is_passed is is_passed, finding.text


@pytest.mark.parametrize(
    ("held", "sells", "quantity", "is_passed"),
    [(40, 0, 40, True), (39, 0, 40, False), (40, 1, 40, False), (-1, 0, 1, False), (100, 60, 40, True)],
)
def test_no_more_is_sold_than_is_held(held: int, sells: int, quantity: int, is_passed: bool) -> None:
    order = intent(side=Side.SELL, quantity=Decimal(quantity))
    assert exposures.check_no_short(order, FACTS, exposure(held, 0, sells), LIMITS).is_passed is is_passed
    assert exposures.check_no_short(order, FACTS, exposure(held, 0, sells), limits(may_short=True)).is_passed


def test_a_buy_sells_nothing() -> None:
    assert exposures.check_no_short(INTENT, FACTS, exposure(-100), LIMITS).is_passed


@pytest.mark.parametrize("nav", [None, NAN, INF, -INF])
@pytest.mark.parametrize("rule", [size.check_order_value, exposures.check_position])
def test_a_nav_that_is_missing_or_no_number_denies(rule: rules.Check, nav: Decimal | None) -> None:
    finding: Finding = rule(INTENT, facts(nav_usd=nav), NOTHING, LIMITS)
    assert not finding.is_passed
    assert str(nav) in finding.text


@pytest.mark.parametrize("held", [NAN, INF])
def test_an_exposure_that_is_no_number_denies(held: Decimal) -> None:
    sale = intent(side=Side.SELL)
    assert not exposures.check_position(sale, FACTS, exposure(str(held)), LIMITS).is_passed
    assert not exposures.check_no_short(sale, FACTS, exposure(str(held)), LIMITS).is_passed


@pytest.mark.parametrize("absurd", [INF, Decimal("1E+400000")])
def test_an_infinite_or_absurd_limit_price_denies(absurd: Decimal) -> None:
    assert not price.check_price_collar(intent(limit_price=absurd), FACTS, NOTHING, LIMITS).is_passed
    assert not size.check_order_value(intent(limit_price=absurd), FACTS, NOTHING, LIMITS).is_passed

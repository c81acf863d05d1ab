"""Sizes worked by hand, and what no size may ever do."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.errors import ConfigurationError, DataError
from ibkr_assets.domain.signal import Direction, Signal
from ibkr_assets.portfolio.sizing import size_targets
from ibkr_assets_tests.fakes.tape import INSTRUMENTS
from ibkr_assets_tests.portfolio.wishes import SIGNS, signal

NAV = Decimal(100_000)
PRICES = st.decimals("0.01", "100000", places=4)
STRENGTHS = st.floats(0, 1)
SPECS = st.one_of(
    st.integers(1, 10_000).map(lambda n: f"fixed:{n}"),
    st.decimals("0.01", "100", places=2).map(lambda p: f"percent:{p}"),
    st.decimals("0.01", "1000000", places=2).map(lambda usd: f"notional:{usd}"),
)


def quantity(wish: Signal, sizing: str, nav: Decimal = NAV, lot: str = "1") -> Decimal:
    instrument = replace(INSTRUMENTS["IBM"], lot=Decimal(lot))
    (target,) = size_targets([wish], sizing, nav_usd=nav, instruments=[instrument])
    assert (target.conid, target.symbol, target.strategy_id, target.signal) == (wish.conid, "IBM", "sma", wish)
    return target.quantity


@pytest.mark.parametrize(
    ("sizing", "strength", "expected"),
    [
        ("fixed:100", 1.0, 100),
        ("fixed:100", 0.5, 50),
        ("fixed:100", 0.999, 99),
        ("percent:10", 1.0, 52),  # 10,000 / 190.29 = 52.55
        ("percent:10", 0.5, 26),  # 26.28
        ("percent:0.1", 1.0, 0),  # 100 buys no share
        ("notional:1902.90", 1.0, 10),  # exactly ten
        ("notional:1902.89", 1.0, 9),
        ("notional:5000", 0.0, 0),
    ],
)
def test_sizes_come_out_as_by_hand(sizing: str, strength: float, expected: int) -> None:
    assert quantity(signal(strength=strength), sizing) == expected
    assert quantity(signal(Direction.SHORT, strength=strength), sizing) == -expected
    assert quantity(signal(Direction.FLAT, strength=strength), sizing) == 0


def test_lots_are_whole() -> None:
    assert quantity(signal(), "fixed:199", lot="100") == 100
    assert quantity(signal(), "notional:50000", lot="100") == 200
    assert quantity(signal(), "fixed:99", lot="100") == 0


def test_every_signal_gets_its_target_in_order() -> None:
    wishes = [
        signal(symbol="MSFT", price="27"),
        signal(Direction.FLAT),
        signal(Direction.SHORT, symbol="AAPL", price="560"),
    ]
    targets = size_targets(wishes, "notional:5600", nav_usd=NAV, instruments=list(INSTRUMENTS.values()))
    assert [(t.symbol, t.quantity) for t in targets] == [("MSFT", 207), ("IBM", 0), ("AAPL", -10)]


@pytest.mark.parametrize(
    "sizing",
    [
        "", "fixed", "fixed:", "fixed:0", "fixed:-5", "fixed:1.5", "fixed:ten", "shares:10", "percent:0", "percent:101",
        "percent:NaN", "notional:Infinity", "notional:-1", "percent 10", "Fixed:10", ":5",
    ],
)  # fmt: skip
def test_a_bad_spec_is_refused_by_its_text(sizing: str) -> None:
    with pytest.raises(ConfigurationError, match="sizing"):
        quantity(signal(), sizing)


@pytest.mark.parametrize("nav", ["0", "-1", "NaN", "Infinity"])
def test_a_nav_that_is_no_positive_number_is_refused(nav: str) -> None:
    with pytest.raises(DataError, match="nav_usd"):
        quantity(signal(), "fixed:10", nav=Decimal(nav))


def test_an_unknown_instrument_and_another_currency_are_refused() -> None:
    with pytest.raises(DataError, match="8314"):
        size_targets([signal()], "fixed:1", nav_usd=NAV, instruments=[INSTRUMENTS["MSFT"]])
    foreign = replace(INSTRUMENTS["IBM"], currency="EUR")
    with pytest.raises(DataError, match="EUR"):
        size_targets([signal()], "percent:5", nav_usd=NAV, instruments=[foreign])
    assert size_targets([signal()], "fixed:1", nav_usd=NAV, instruments=[foreign])[0].quantity == 1


@given(SPECS, PRICES, STRENGTHS, st.decimals("0.01", "10000000", places=2), st.sampled_from(Direction))
def test_a_size_never_exceeds_its_budget_and_never_has_the_wrong_sign(
    sizing: str, price: Decimal, strength: float, nav: Decimal, direction: Direction
) -> None:
    got = quantity(signal(direction, price=str(price), strength=strength), sizing, nav)
    assert got == got.to_integral_value()
    assert got * SIGNS[direction] >= 0
    assert direction is not Direction.FLAT or got == 0
    kind, amount = sizing.split(":")
    budget = {
        "fixed": Fraction(amount) * Fraction(price),
        "percent": Fraction(nav) * Fraction(amount) / 100,
        "notional": Fraction(amount),
    }[kind]
    assert abs(Fraction(got)) * Fraction(price) <= budget * Fraction(strength)
    if direction is not Direction.FLAT:
        assert (abs(Fraction(got)) + 1) * Fraction(price) > budget * Fraction(strength)


@given(SPECS, PRICES, STRENGTHS, STRENGTHS)
def test_more_strength_never_makes_a_smaller_position(sizing: str, price: Decimal, one: float, other: float) -> None:
    weak, strong = (quantity(signal(price=str(price), strength=s), sizing) for s in sorted((one, other)))
    assert weak <= strong

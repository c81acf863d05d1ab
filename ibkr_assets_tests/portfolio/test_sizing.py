"""Sizes worked by hand, against sums in fractions that share no code with them, and what no size may ever do."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ibkr_assets.domain.errors import ConfigurationError, DataError
from ibkr_assets.domain.signal import Direction, Signal
from ibkr_assets.features.definition import DEFINITIONS
from ibkr_assets.portfolio.sizing import size_targets
from ibkr_assets_tests.fakes.tape import INSTRUMENTS
from ibkr_assets_tests.portfolio.wishes import SIGNS, signal

NAV = Decimal(100_000)
#: A deviation of 1 percent a day (15.87 a year) and a range of 3 USD.
MEASURES = {"volatility_20": Decimal("0.01"), "atr_14": Decimal(3)}
PRICES = st.decimals("0.01", "100000", places=4)
NAVS = st.decimals("0.01", "10000000", places=2)
STRENGTHS = st.floats(0, 1)
LOTS = st.sampled_from(["1", "10", "100"])
PERCENTS = st.decimals("0.01", "100", places=2)
KELLY = st.tuples(st.decimals("0.01", "1", places=2), PERCENTS)
MEASURED = st.fixed_dictionaries(
    {
        "volatility_20": st.floats(1e-6, 1).map(lambda value: Decimal(repr(value))),
        "atr_14": st.floats(1e-4, 10_000).map(lambda value: Decimal(repr(value))),
    }
)
SPECS = st.one_of(
    st.integers(1, 10_000).map(lambda n: f"fixed:{n}"),
    PERCENTS.map(lambda p: f"percent:{p}"),
    st.decimals("0.01", "1000000", places=2).map(lambda usd: f"notional:{usd}"),
    PERCENTS.map(lambda p: f"volatility:{p}"),
    st.tuples(PERCENTS, st.decimals("0.1", "20", places=1)).map(lambda a: f"atr:{a[0]}@{a[1]}"),
    st.tuples(KELLY, st.decimals("51", "99", places=1), st.decimals("1", "5", places=1)).map(
        lambda a: f"kelly:{a[0][0]}@{a[0][1]},win={a[1]},payoff={a[2]}"
    ),
    st.tuples(KELLY, PERCENTS).map(lambda a: f"kelly:{a[0][0]}@{a[0][1]},edge={a[1]}"),
)


def quantity(
    wish: Signal, sizing: str, nav: Decimal = NAV, lot: str = "1", measures: Mapping[str, Decimal] = MEASURES
) -> Decimal:
    instrument = replace(INSTRUMENTS["IBM"], lot=Decimal(lot))
    (target,) = size_targets(
        [wish], sizing, nav_usd=nav, instruments=[instrument], measures={instrument.conid: measures}
    )
    assert (target.conid, target.symbol, target.strategy_id, target.signal) == (wish.conid, "IBM", "sma", wish)
    return target.quantity


@pytest.mark.parametrize(
    ("sizing", "strength", "expected"),
    [
        ("fixed:100", 1.0, 100),
        ("fixed:100", 0.5, 50),
        ("fixed:100", 0.999, 99),
        ("fixed:600", 1.0, 525),  # no more than the NAV buys: 525.51
        ("fixed:600", 0.5, 262),
        ("percent:10", 1.0, 52),  # 10,000 / 190.29 = 52.55
        ("percent:10", 0.5, 26),  # 26.28
        ("percent:0.1", 1.0, 0),  # 100 buys no share
        ("notional:1902.90", 1.0, 10),  # exactly ten
        ("notional:1902.89", 1.0, 9),
        ("notional:5000", 0.0, 0),
        ("notional:200000", 1.0, 525),
        ("volatility:10", 1.0, 331),  # 10,000 / (190.29 x 0.158745) = 331.04
        ("volatility:10", 0.5, 165),
        ("volatility:20", 1.0, 525),  # 662.08, more than the NAV buys
        ("atr:1@2", 1.0, 166),  # 1,000 / 6
        ("atr:0.5@2.5", 1.0, 66),  # 500 / 7.5
        ("atr:1@0.1", 1.0, 525),
        ("kelly:0.5@20,win=55,payoff=1.5", 1.0, 65),  # half of 0.55 - 0.45 / 1.5 is 12.5 percent: 65.69
        ("kelly:1@20,win=55,payoff=1.5", 1.0, 105),  # 25 percent, capped at 20: 105.10
        ("kelly:0.5@100,edge=2", 1.0, 208),  # half of 0.02 / 0.0252 is 39.68 percent: 208.54
        ("kelly:0.5@20,edge=2", 0.5, 52),  # half of the cap
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
        "percent:NaN", "notional:Infinity", "notional:-1", "percent 10", "Fixed:10", ":5", "percent:5@2", "fixed:1,a=2",
        "volatility:0", "volatility:101", "volatility:", "atr:1", "atr:1@0", "atr:101@1", "atr:1@2@3", "atr:1@2,x=1",
        "kelly:0.5@20", "kelly:0.5,edge=6", "kelly:1.5@20,edge=6", "kelly:0.5@101,edge=6", "kelly:0.5@20,edge=-6",
        "kelly:0.5@20,payoff=1.5,win=55", "kelly:0.5@20,win=101,payoff=1", "kelly:0.5@20,edge",
    ],
)  # fmt: skip
def test_a_bad_spec_is_refused_by_its_text(sizing: str) -> None:
    with pytest.raises(ConfigurationError, match="sizing"):
        quantity(signal(), sizing)


def test_declared_odds_that_lose_are_refused_when_the_spec_is_read() -> None:
    with pytest.raises(ConfigurationError, match="Kelly stakes nothing"):
        quantity(signal(), "kelly:0.5@20,win=40,payoff=1.5")  # 0.4 - 0.6 / 1.5 is nothing


@pytest.mark.parametrize(
    ("sizing", "feature"),
    [("volatility:10", "volatility_20"), ("atr:1@2", "atr_14"), ("kelly:0.5@20,edge=6", "volatility_20")],
)
@pytest.mark.parametrize("value", [None, "0", "-0.01", "NaN", "Infinity"])
def test_a_measure_that_is_no_positive_number_is_an_error_by_name(sizing: str, feature: str, value: str | None) -> None:
    measures = {name: number for name, number in MEASURES.items() if name != feature}
    if value is not None:
        measures[feature] = Decimal(value)
    with pytest.raises(DataError, match=rf"{feature} of IBM at 2012-11-21: .*{value or 'none'}"):
        quantity(signal(), sizing, measures=measures)
    assert quantity(signal(Direction.FLAT), sizing, measures=measures) == 0


def test_measures_are_the_features_that_the_formulas_mean() -> None:
    """A daily deviation that is not annualised yet, and Wilder's range in USD."""
    defined = {d.name: (d.indicator, dict(d.parameters).get("timeperiod"), d.inputs) for d in DEFINITIONS}
    assert defined["volatility_20"] == ("volatility", 20, ("close",))
    assert defined["atr_14"] == ("ATR", 14, ("high", "low", "close"))


@pytest.mark.parametrize("nav", ["0", "-1", "NaN", "Infinity"])
def test_a_nav_that_is_no_positive_number_is_refused(nav: str) -> None:
    with pytest.raises(DataError, match="nav_usd"):
        quantity(signal(), "fixed:10", nav=Decimal(nav))


def test_an_unknown_instrument_and_another_currency_are_refused() -> None:
    with pytest.raises(DataError, match="8314"):
        size_targets([signal()], "fixed:1", nav_usd=NAV, instruments=[INSTRUMENTS["MSFT"]])
    foreign = replace(INSTRUMENTS["IBM"], currency="EUR")
    for sizing in ("percent:5", "fixed:1"):
        with pytest.raises(DataError, match="EUR"):
            size_targets([signal()], sizing, nav_usd=NAV, instruments=[foreign])


def is_affordable(
    shares: Decimal, sizing: str, price: Decimal, strength: float, nav: Decimal, measures: Mapping[str, Decimal]
) -> bool:
    """Whether so many shares are within the sizing, asked of each sizing's own budget and never by dividing by it."""
    kind, numbers = sizing.split(":")
    head = [Fraction(text) for text in numbers.split(",")[0].split("@")]
    named = {item.split("=")[0]: Fraction(item.split("=")[1]) for item in numbers.split(",")[1:]}
    daily, atr = Fraction(measures["volatility_20"]), Fraction(measures["atr_14"])
    full = Fraction(nav) * Fraction(strength)
    value = Fraction(shares) * Fraction(price)
    if value > full:
        return False
    if kind == "fixed":
        return Fraction(shares) <= head[0] * Fraction(strength)
    if kind == "percent":
        return value * 100 <= full * head[0]
    if kind == "notional":
        return value <= head[0] * Fraction(strength)
    if kind == "volatility":  # squared: a value's annual variance against the one that is wanted
        return (value * daily) ** 2 * 252 <= (full * head[0] / 100) ** 2
    if kind == "atr":
        return Fraction(shares) * head[1] * atr * 100 <= full * head[0]
    if value * 100 > full * head[1]:
        return False
    if "edge" in named:
        return value * daily**2 * 252 * 100 <= full * head[0] * named["edge"]
    lost = 100 - named["win"]
    return value * 100 * named["payoff"] <= full * head[0] * (named["win"] * named["payoff"] - lost)


@given(SPECS, PRICES, STRENGTHS, NAVS, LOTS, MEASURED, st.sampled_from(Direction))
@example("volatility:10", Decimal(100), 1.0, NAV, "1", MEASURES, Direction.LONG)
def test_a_size_is_the_largest_within_its_budget_and_never_has_the_wrong_sign(
    sizing: str,
    price: Decimal,
    strength: float,
    nav: Decimal,
    lot: str,
    measures: dict[str, Decimal],
    direction: Direction,
) -> None:
    got = quantity(signal(direction, price=str(price), strength=strength), sizing, nav, lot, measures)
    assert got % Decimal(lot) == 0
    assert got * SIGNS[direction] >= 0
    assert direction is not Direction.FLAT or got == 0
    assert abs(Fraction(got)) * Fraction(price) <= Fraction(nav)
    assert is_affordable(abs(got), sizing, price, strength, nav, measures)
    if direction is not Direction.FLAT:
        assert not is_affordable(abs(got) + Decimal(lot), sizing, price, strength, nav, measures)


@given(SPECS, PRICES, STRENGTHS, STRENGTHS, LOTS, MEASURED)
def test_more_strength_never_makes_a_smaller_position(
    sizing: str, price: Decimal, one: float, other: float, lot: str, measures: dict[str, Decimal]
) -> None:
    weak, strong = (
        quantity(signal(price=str(price), strength=s), sizing, NAV, lot, measures) for s in sorted((one, other))
    )
    assert weak <= strong


@given(SPECS, PRICES, STRENGTHS, NAVS, LOTS, MEASURED)
def test_twice_the_nav_never_makes_fewer_shares_and_scales_what_is_a_part_of_it(
    sizing: str, price: Decimal, strength: float, nav: Decimal, lot: str, measures: dict[str, Decimal]
) -> None:
    wish = signal(price=str(price), strength=strength)
    once, twice = (quantity(wish, sizing, factor * nav, lot, measures) for factor in (1, 2))
    assert once <= twice
    if not sizing.startswith(("fixed", "notional")):
        assert 2 * once <= twice <= 2 * once + Decimal(lot)


@given(st.sampled_from(["volatility:10", "atr:1@2", "kelly:0.5@20,edge=6"]), PRICES, MEASURED)
def test_what_moves_more_is_never_held_more(sizing: str, price: Decimal, measures: dict[str, Decimal]) -> None:
    wilder = {name: 2 * value for name, value in measures.items()}
    wish = signal(price=str(price))
    assert quantity(wish, sizing, measures=wilder) <= quantity(wish, sizing, measures=measures)

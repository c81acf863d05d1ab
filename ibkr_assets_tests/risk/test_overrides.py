"""A strategy may be held to less than everybody, and never to more."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.risk.changes import raised
from ibkr_assets.risk.limits import Limits
from ibkr_assets.risk.overrides import OWN, check_overrides, tightened

IN_FORCE = Limits(allowed_symbols=frozenset({"IBM", "MSFT"}), max_order_value_usd=Decimal(10_000))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"max_order_value_usd": "10001"}, r"risk\.max_order_value_usd 10001: is looser than the 10000 in force"),
        ({"may_short": True}, r"risk\.may_short True: is looser than the False"),
        ({"cash_reserve_fraction": "0.01"}, r"risk\.cash_reserve_fraction 0.01: is looser than the 0.02"),
        ({"allowed_symbols": ["IBM", "AAPL"]}, r"risk\.allowed_symbols \['AAPL', 'IBM'\]: is looser"),
        ({"max_order_valu": 1}, r"risk\.max_order_valu 1: is no limit"),
        ({"max_order_shares": "many"}, r"risk\.max_order_shares 'many': "),
        ({"max_order_shares": -1}, r"risk\.max_order_shares -1: "),
        ({"max_gateway_skew_s": 1}, r"risk\.max_gateway_skew_s 1: is heard only when an order leaves"),
        ({"sectors": {"IBM": "x"}}, r"risk\.sectors "),
    ],
)
def test_a_looser_or_unknown_limit_is_refused_with_field_and_value(overrides: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_overrides(overrides, IN_FORCE)


def test_a_tighter_limit_is_taken_and_the_others_stay() -> None:
    own = {"max_order_value_usd": 5000, "allowed_symbols": ["IBM"], "cash_reserve_fraction": "0.5"}
    check_overrides(own, IN_FORCE)
    assert tightened(own, IN_FORCE) == replace(
        IN_FORCE,
        max_order_value_usd=Decimal(5000),
        allowed_symbols=frozenset({"IBM"}),
        cash_reserve_fraction=Decimal("0.5"),
    )


def test_what_became_tighter_for_everybody_since_holds_for_the_strategy_too() -> None:
    own = {"max_order_value_usd": 5000}
    later = replace(IN_FORCE, max_order_value_usd=Decimal(100))
    assert tightened(own, later).max_order_value_usd == Decimal(100)


@given(
    st.dictionaries(
        st.sampled_from(sorted(name for name in OWN if name.startswith("max_") and name.endswith("fraction"))),
        st.decimals("0.001", "1", places=3),
    )
)
def test_no_override_ever_loosens_anything(overrides: dict[str, Decimal]) -> None:
    assert raised(IN_FORCE, tightened(overrides, IN_FORCE)) == ()


def test_every_limit_of_a_strategys_own_is_a_limit() -> None:
    assert {item.name for item in fields(Limits)} >= OWN
    assert "max_order_nav_fraction" in OWN

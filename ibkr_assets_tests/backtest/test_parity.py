"""A decision against what happened: zero where both are the same, and every difference in its own place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.backtest.parity import CAUSES, ActualFill, Case, compare

OPENS = datetime(2012, 10, 2, 13, 30, tzinfo=UTC)


def bars(opened: float = 100.0, close: float = 103.0) -> pd.DataFrame:
    rows = [
        (OPENS - timedelta(days=1), 98.0, 99.0, 97.0, 98.5),
        (OPENS, opened, max(opened, close), min(opened, close), close),
    ]
    frame = pd.DataFrame(rows, columns=["opened_at", "open", "high", "low", "close"])
    return frame.assign(conid=8314, symbol="IBM", volume=1000.0)


def fill(shares: int, price: str = "100", fee: str = "1.00", *, after_s: int = 0, order: str = "o") -> ActualFill:
    return ActualFill(Decimal(shares), Decimal(price), Decimal(fee), OPENS + timedelta(seconds=after_s), order)


def case(*fills: ActualFill, **changes: Any) -> Case:
    given_: dict[str, Any] = {
        "held": Decimal(0), "wanted": 1, "shares": Decimal(10), "limit": Decimal(101), "bars": bars(),
    }  # fmt: skip
    return Case("cross", "IBM", fills=fills, **(given_ | changes))


def differences(of: Case) -> dict[str, Decimal]:
    found = compare(of)
    return {cause: getattr(found, cause) for cause in CAUSES if getattr(found, cause)}


@pytest.mark.parametrize(
    "same",
    [
        case(fill(10)),
        case(fill(4, fee="0.40"), fill(6, fee="0.60")),  # one order in two executions
        case(fill(-20), held=Decimal(20), wanted=0, limit=Decimal(97)),
        case(fill(-20, order="a"), fill(-10, order="b"), held=Decimal(20), wanted=-1, limit=Decimal(97)),
        case(fill(20, order="a"), fill(10, order="b"), held=Decimal(-20), wanted=1),
        case(held=Decimal(20), wanted=1),  # nothing to do, and nothing done
        case(limit=Decimal("99.99")),  # the opening is beyond the limit, for both
        case(shares=Decimal(0)),
        case(fill(1000, fee="5.00"), shares=Decimal(1000)),
    ],
)
def test_what_happened_as_expected_differs_by_nothing(same: Case) -> None:
    found = compare(same)
    assert differences(same) == {}
    assert found.is_exact
    assert found.words == ""


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (case(fill(10, "100.05")), {"price": "-0.50"}),
        (case(fill(10, "100.05", after_s=600)), {"timing": "-0.50"}),
        (case(fill(10, fee="1.35")), {"fee": "-0.35"}),
        (case(fill(7)), {"size": "-9"}),  # three shares that rose by 3 are not there; the fee is the minimum either way
        (case(), {"size": "-29"}),  # ten shares that rose by 3, and no fee
        (case(is_as_decided=False), {"missed_bar": "-29"}),
        (case(fill(10), wanted=0, is_as_decided=False), {"missed_bar": "29"}),
        (case(fill(8, "100.10", "1.20", after_s=600)), {"timing": "-0.8", "size": "-6", "fee": "-0.2"}),
        (case(held=Decimal(20), wanted=0, limit=Decimal(97)), {"size": "61"}),  # kept, and it rose
    ],
)
def test_every_difference_has_its_cause_and_its_worth(other: Case, expected: dict[str, str]) -> None:
    assert differences(other) == {cause: Decimal(usd) for cause, usd in expected.items()}
    found = compare(other)
    assert not found.is_exact
    assert all(f"{cause.replace('_', ' ')} {Decimal(usd):+,.2f} USD" in found.words for cause, usd in expected.items())


def test_differences_that_cancel_out_are_not_exact() -> None:
    flat = bars(opened=100.0, close=100.0)
    found = compare(case(fill(11), bars=flat))
    assert found.total == 0
    assert not found.is_exact
    assert found.words.startswith("shares differ: expected +10")


@given(
    st.integers(-300, 300),
    st.sampled_from([-1, 0, 1]),
    st.integers(0, 300),
    st.lists(
        st.tuples(st.integers(-300, 300), st.integers(9_000, 11_000), st.integers(0, 500), st.integers(0, 9_999)),
        max_size=4,
    ),
    st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_the_causes_add_up_to_what_the_account_differs_by(
    held: int, wanted: int, shares: int, raw: list[tuple[int, int, int, int]], is_as_decided: bool
) -> None:
    fills = [
        fill(count, str(Decimal(cents) / 100), str(Decimal(fee) / 100), after_s=late, order=str(place))
        for place, (count, cents, fee, late) in enumerate(raw)
    ]
    found = compare(
        case(*fills, held=Decimal(held), wanted=wanted, shares=Decimal(shares), is_as_decided=is_as_decided)
    )
    close = Decimal(103)
    real = sum((f.shares * (close - f.price) - f.fee for f in found.fills), Decimal(0))
    expected = sum((f.shares * (close - f.price) - f.fee for f in found.expected), Decimal(0))
    assert found.total == real - expected

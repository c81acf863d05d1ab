"""Values go into JSON and come back equal, whatever is in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ibkr_assets.domain.order import Mode
from ibkr_assets.domain.plain import from_plain, to_plain


@dataclass(frozen=True)
class Inner:
    price: Decimal | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    mode: Mode
    day: date
    at: datetime
    share: float
    count: int
    is_whole: bool
    allowed: frozenset[str]
    sectors: Mapping[str, str]
    inner: Inner = field(default_factory=Inner)


OUTERS = some.builds(
    Outer,
    at=some.datetimes(timezones=some.sampled_from([UTC, timezone(timedelta(hours=2))])),
    share=some.floats(allow_nan=False, allow_infinity=False),
    sectors=some.dictionaries(some.text(), some.text()),
    inner=some.builds(Inner, price=some.none() | some.decimals(allow_nan=False)),
)


@given(OUTERS)
def test_what_was_made_plain_comes_back_through_json(value: Outer) -> None:
    text = json.dumps(to_plain(value), allow_nan=False)
    back = from_plain(Outer, json.loads(text))
    assert back == value
    assert str(back.inner.price) == str(value.inner.price)  # to the last zero
    assert json.dumps(to_plain(back)) == text


def test_a_field_that_was_not_kept_takes_its_default_and_one_unknown_is_left_out() -> None:
    assert from_plain(Inner, {"names": ["a"], "gone": 1}) == Inner(None, ("a",))


def test_what_has_no_form_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match="object has no plain form"):
        to_plain(object())
    with pytest.raises(TypeError, match="cannot be read"):
        from_plain(bytes, "x")

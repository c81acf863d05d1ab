"""Equal limits are one text and one name, and come back from it equal."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

import pytest

from ibkr_assets.domain.errors import DataError
from ibkr_assets.risk.limits import Limits
from ibkr_assets.risk.stored import canonical, digest, read_limits

LIMITS = Limits(
    allowed_symbols=frozenset({"MSFT", "IBM"}), max_order_value_usd=Decimal("5000.50"), may_short=True,
    max_orders_per_day=7, sectors=MappingProxyType({"IBM": "tech"}),
)  # fmt: skip


def test_what_was_stored_comes_back_equal_and_of_the_same_kinds() -> None:
    found = read_limits(json.loads(canonical(LIMITS)))
    assert found == LIMITS
    assert (type(found.max_orders_per_day), type(found.max_order_value_usd)) == (int, Decimal)


def test_the_name_is_the_sha256_of_ordered_json_and_idle_zeros_do_not_count() -> None:
    same = replace(LIMITS, max_order_value_usd=Decimal("5000.5000"), allowed_symbols=frozenset(["IBM", "MSFT"]))
    assert digest(same) == digest(LIMITS)
    text = canonical(LIMITS)
    assert digest(LIMITS) == hashlib.sha256(text.encode()).hexdigest()
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert '"allowed_symbols":["IBM","MSFT"]' in text


@pytest.mark.parametrize("change", [{"may_short": False}, {"max_orders_per_day": 8}, {"sectors": MappingProxyType({})}])
def test_other_limits_have_another_name(change: dict[str, object]) -> None:
    assert digest(replace(LIMITS, **change)) != digest(LIMITS)


def test_limits_from_before_a_limit_existed_have_its_default_and_one_that_is_gone_is_left_out() -> None:
    stored = LIMITS.as_text()
    del stored["max_orders_per_day"]
    assert read_limits(stored | {"max_moon_phase": "3"}) == replace(LIMITS, max_orders_per_day=50)


@pytest.mark.parametrize(
    ("name", "value"), [("may_short", "yes"), ("max_order_value_usd", "much"), ("max_orders_per_day", "1.5")]
)
def test_a_limit_that_cannot_be_read_is_named(name: str, value: str) -> None:
    with pytest.raises(DataError, match=f"{name}: cannot be read from '{value}'"):
        read_limits({name: value})

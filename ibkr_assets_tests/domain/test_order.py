"""An intent's identity: the same decision, the same key and the same id, for ever and anywhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.order import (
    CLIENT_ORDER_ID_PREFIX,
    TRANSITIONS,
    Mode,
    OrderIntent,
    OrderState,
    OrderType,
    Side,
    TimeInForce,
    account_ref,
)

INTENT = OrderIntent(
    strategy_id="s",
    account_ref=account_ref("DU1000001"),
    mode=Mode.SIM,
    conid=265598,
    symbol="AAPL",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    quantity=Decimal(12),
    limit_price=Decimal("679.17"),
    time_in_force=TimeInForce.OPENING,
    reference_price=Decimal("659.39"),
    session_date=date(2012, 10, 1),
    signal_bar_end=datetime(2012, 10, 1, 20, tzinfo=UTC),
    valid_until=datetime(2012, 10, 2, 13, 30, tzinfo=UTC),
)


def test_the_id_is_derived_and_fits_what_ibkr_takes() -> None:
    client_order_id = INTENT.client_order_id("salt")
    assert client_order_id == replace(INTENT).client_order_id("salt")
    assert client_order_id.startswith(CLIENT_ORDER_ID_PREFIX)
    assert len(client_order_id) <= 40
    assert client_order_id != INTENT.client_order_id("another installation")


@pytest.mark.parametrize(
    "change",
    [
        {"mode": Mode.DRY_RUN}, {"strategy_id": "t"}, {"conid": 8314}, {"leg": 1}, {"generation": 1},
        {"purpose": "close"}, {"signal_bar_end": datetime(2012, 10, 2, 20, tzinfo=UTC)}, {"account_ref": "acct-x"},
    ],
)  # fmt: skip
def test_another_decision_has_another_key(change: dict[str, Any]) -> None:
    assert replace(INTENT, **change).decision_key != INTENT.decision_key


@pytest.mark.parametrize("change", [{"quantity": Decimal(13)}, {"limit_price": Decimal(600)}, {"side": Side.SELL}])
def test_another_payload_of_the_same_decision_shows_in_the_hash_alone(change: dict[str, Any]) -> None:
    other = replace(INTENT, **change)
    assert other.decision_key == INTENT.decision_key
    assert other.payload_sha256 != INTENT.payload_sha256


def test_the_same_number_written_otherwise_is_the_same_payload() -> None:
    assert replace(INTENT, quantity=Decimal("12.00")).payload_sha256 == INTENT.payload_sha256


@given(st.decimals(allow_nan=False, allow_infinity=False).filter(lambda d: d <= 0 or d != d.to_integral_value()))
def test_only_whole_positive_quantities_are_orders(quantity: Decimal) -> None:
    with pytest.raises(ValueError, match="quantity"):
        replace(INTENT, quantity=quantity)


def test_every_state_has_its_moves_and_our_own_ends_stay_ends() -> None:
    assert set(TRANSITIONS) == set(OrderState)
    for state in (OrderState.DENIED, OrderState.EXPIRED_UNSENT):
        assert not TRANSITIONS[state]
    assert TRANSITIONS[OrderState.FILLED] == {OrderState.CANCELLED}
    reachable, edge = {OrderState.PROPOSED}, {OrderState.PROPOSED}
    while edge := {after for state in edge for after in TRANSITIONS[state]} - reachable:
        reachable |= edge
    assert reachable == set(OrderState)


def test_nothing_returns_to_approved_but_from_doubt() -> None:
    assert {s for s, after in TRANSITIONS.items() if OrderState.APPROVED in after} == {
        OrderState.PROPOSED, OrderState.UNKNOWN,
    }  # fmt: skip

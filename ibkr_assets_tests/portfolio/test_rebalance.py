"""Orders on change of direction, their timing around real sessions, and what holds for any target."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.errors import DataError, InputError
from ibkr_assets.domain.order import Mode, OrderIntent, OrderType, Side, TimeInForce
from ibkr_assets.domain.signal import TargetPosition
from ibkr_assets.portfolio.rebalance import limit_price, plan_orders
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS
from ibkr_assets_tests.portfolio.wishes import HALF_DAY, SESSION, signal, target

EVENING = datetime(2012, 11, 21, 21, 30, tzinfo=UTC)
COLLAR = Decimal("0.03")


def plan(*targets: TargetPosition, held: dict[str, int] | None = None, **changes: Any) -> list[OrderIntent]:
    arguments: dict[str, Any] = {
        "instruments": list(INSTRUMENTS.values()), "account_ref": "acct-1", "mode": Mode.SIM, "session": SESSION,
        "next_session": HALF_DAY, "now": EVENING, "price_collar_fraction": COLLAR,
    }  # fmt: skip
    holdings = {CONIDS[symbol]: Decimal(quantity) for symbol, quantity in (held or {}).items()}
    return plan_orders(targets, holdings, **(arguments | changes))


def legs(intents: list[OrderIntent]) -> list[tuple[int, str, int]]:
    return [(i.leg, str(i.side), int(i.quantity)) for i in intents]


@pytest.mark.parametrize(
    ("held", "wanted", "expected"),
    [
        (0, 50, [(0, "BUY", 50)]),
        (0, -50, [(0, "SELL", 50)]),
        (0, 0, []),
        (30, 50, []),
        (50, 30, []),
        (-30, -50, []),
        (30, 0, [(0, "SELL", 30)]),
        (-30, 0, [(0, "BUY", 30)]),
        (30, -50, [(0, "SELL", 30), (1, "SELL", 50)]),
        (-30, 50, [(0, "BUY", 30), (1, "BUY", 50)]),
    ],
)
def test_only_a_change_of_direction_trades(held: int, wanted: int, expected: list[tuple[int, str, int]]) -> None:
    assert legs(plan(target(wanted), held={"IBM": held})) == expected


def test_a_long_wish_too_small_for_one_share_keeps_what_is_held_and_ends_a_short() -> None:
    wish = TargetPosition("sma", CONIDS["IBM"], "IBM", Decimal(0), signal())
    assert plan(wish, held={"IBM": 30}) == []
    assert legs(plan(wish, held={"IBM": -30})) == [(0, "BUY", 30)]


def test_an_instrument_without_target_is_left_alone() -> None:
    assert plan(target(0, symbol="IBM"), held={"MSFT": 100}) == []


def test_an_order_carries_the_whole_decision() -> None:
    (intent,) = plan(target(50))
    assert intent == OrderIntent(
        strategy_id="sma", account_ref="acct-1", mode=Mode.SIM, conid=CONIDS["IBM"], symbol="IBM", side=Side.BUY,
        order_type=OrderType.LIMIT, quantity=Decimal(50), limit_price=Decimal("195.99"),
        time_in_force=TimeInForce.OPENING, reference_price=Decimal("190.29"), session_date=SESSION.day,
        signal_bar_end=datetime(2012, 11, 21, 21, tzinfo=UTC), valid_until=datetime(2012, 11, 23, 14, 30, tzinfo=UTC),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("now", "time_in_force", "valid_until"),
    [
        ("2012-11-21 21:00", "OPG", "2012-11-23 14:30"),  # right after the close
        ("2012-11-22 15:00", "OPG", "2012-11-23 14:30"),  # on the holiday between
        ("2012-11-23 14:29", "OPG", "2012-11-23 14:30"),
        ("2012-11-23 14:30", "DAY", "2012-11-23 17:55"),  # five minutes before the early close
        ("2012-11-23 17:59", "DAY", "2012-11-23 17:55"),  # too late, but kept
        ("2012-11-23 18:00", "OPG", "2012-11-23 14:30"),  # a run for the past can never be sent
        ("2026-11-20 12:00", "OPG", "2012-11-23 14:30"),
    ],
)
def test_the_time_of_the_run_decides_how_the_order_lives(now: str, time_in_force: str, valid_until: str) -> None:
    (intent,) = plan(target(50), now=datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert intent.time_in_force == time_in_force
    assert intent.valid_until == datetime.fromisoformat(valid_until).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("side", "reference", "tick", "expected"),
    [
        (Side.BUY, "190.29", "0.01", "195.99"),  # 195.9987
        (Side.SELL, "190.29", "0.01", "184.59"),  # 184.5813
        (Side.BUY, "100.00", "0.05", "103.00"),
        (Side.SELL, "99.99", "0.05", "97.00"),  # 96.9903
        (Side.BUY, "19.8599", "0.01", "20.45"),  # 20.455697
        (Side.BUY, "0.52", "0.01", "0.5356"),  # below a dollar in hundredths of a cent
        (Side.SELL, "0.5213", "0.01", "0.5057"),  # 0.505661
        (Side.BUY, "0.98", "0.01", "1.00"),  # 1.0094: the order's own price decides, not the reference
        (Side.BUY, "0.9709", "0.0001", "1.00"),  # 1.000027
        (Side.SELL, "1.02", "0.01", "0.9894"),
        (Side.SELL, "1.0309", "0.01", "1.0000"),  # 0.999973 rounds up to the dollar
        (Side.SELL, "1.04", "0.0001", "1.01"),  # 1.0088: the law's cent holds for a finer instrument
        (Side.BUY, "0.00011", "0.01", "0.0001"),
    ],
)
def test_the_limit_is_the_collar_rounded_towards_the_reference(
    side: Side, reference: str, tick: str, expected: str
) -> None:
    instrument = replace(INSTRUMENTS["IBM"], tick=Decimal(tick))
    assert limit_price(side, instrument, Decimal(reference), collar_fraction=COLLAR) == Decimal(expected)


def test_a_price_below_one_tick_leaves_no_limit() -> None:
    with pytest.raises(DataError, match=r"0\.00009 of IBM"):
        limit_price(Side.BUY, INSTRUMENTS["IBM"], Decimal("0.00009"), collar_fraction=COLLAR)


@given(
    st.sampled_from(Side),
    st.decimals("0.02", "3", places=4),
    st.integers(1, 300).map(lambda n: Decimal(n) / 1000),
    st.sampled_from(["0.0001", "0.01"]),
)
def test_a_limit_is_lawful_and_never_outside_the_collar(
    side: Side, reference: Decimal, collar: Decimal, tick: str
) -> None:
    """SEC Rule 612: whole cents at or above 1 USD, and below it no more than four decimals."""
    limit = limit_price(side, replace(INSTRUMENTS["IBM"], tick=Decimal(tick)), reference, collar_fraction=collar)
    assert limit % (Decimal("0.01") if limit >= 1 else Decimal("0.0001")) == 0
    assert side.sign * (limit - reference) <= collar * reference
    assert side.sign * (limit - reference * (1 + side.sign * collar)) > -Decimal("0.01")


def test_legs_of_a_reversal_are_two_decisions() -> None:
    close, open_ = plan(target(-50), held={"IBM": 30})
    assert close.decision_key != open_.decision_key


def test_sessions_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(InputError, match="does not follow"):
        plan(target(50), session=HALF_DAY, next_session=SESSION)


def test_two_targets_an_unknown_instrument_and_a_broken_lot_are_refused() -> None:
    with pytest.raises(DataError, match="more than one target"):
        plan(target(50), target(60))
    with pytest.raises(DataError, match="not among the instruments"):
        plan(target(50), instruments=[INSTRUMENTS["MSFT"]])
    with pytest.raises(DataError, match="whole lots"):
        plan(target(0), held={"IBM": 150}, instruments=[replace(INSTRUMENTS["IBM"], lot=Decimal(100))])


@given(st.integers(-1000, 1000), st.integers(-1000, 1000), st.integers(-3, 3), st.decimals("1", "5000", places=2))
def test_filling_every_order_reaches_the_wanted_direction_and_planning_again_orders_nothing(
    held: int, wanted: int, days: int, price: Decimal
) -> None:
    wish = target(wanted, price=str(price))
    now = EVENING + timedelta(days=days)
    intents = plan(wish, held={"IBM": held}, now=now)
    after = held + sum(int(i.quantity) * i.side.sign for i in intents)
    assert (after > 0, after < 0) == (wanted > 0, wanted < 0)
    assert after in (held, wanted)
    assert plan(wish, held={"IBM": after}, now=now) == []
    for intent in intents:
        assert intent.limit_price is not None
        assert abs(intent.limit_price - price) <= COLLAR * price
        assert intent.limit_price % Decimal("0.01" if intent.limit_price >= 1 else "0.0001") == 0
    assert [i.leg for i in intents] == list(range(len(intents)))

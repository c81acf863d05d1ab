"""What was lost since the day began and from the highest value: by hand, and against sums made another way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import accumulate

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.ledger import AccountSnapshot, Loss, Losses
from ibkr_assets.domain.order import Mode, account_ref
from ibkr_assets_tests.risk.orders import CLOSE

HOUR = timedelta(hours=1)
#: Of the points of a history, an hour apart, the last one is of the day.
Point = tuple[int, int]


class Books:
    """Accounts of one database, each with a history of its own."""

    def __init__(self, database: Database) -> None:
        self._ledger, self._count = PostgresLedger(database), 0

    def losses(
        self, points: Sequence[Point], day: datetime, *, step: timedelta = HOUR, ends: frozenset[int] = frozenset()
    ) -> Losses | None:
        """Of a new account with these net asset values and payments since the one before, the first at `CLOSE`.

        `ends` are the places of those that ended a session.
        """
        self._count += 1
        name = f"DU20{self._count:05}"
        of_account = self._ledger.of_account(account_ref(name))
        of_account.lease.register(name, Mode.SIM)
        epoch = of_account.lease.acquire("books", 20.0)
        assert epoch is not None
        of_account.lease.release()
        totals = accumulate(paid for _, paid in points)
        for number, ((nav, _), total) in enumerate(zip(points, totals, strict=True)):
            of_account.account.save_snapshot(
                AccountSnapshot(
                    CLOSE + number * step, Decimal(nav), Decimal(0), Decimal(0), nav_broker=Decimal(nav),
                    broker_cash=Decimal(nav), paid_in=Decimal(total),
                ),
                epoch=epoch,
            )  # fmt: skip
            stored = of_account.account.last_snapshot()
            if number in ends and stored is not None:
                of_account.account.save_day(CLOSE.date() + timedelta(days=number), stored.snapshot_id)
        return of_account.account.losses(day)


@pytest.fixture
def books(database: Database) -> Books:
    return Books(database)


@pytest.mark.parametrize(
    ("points", "day_loss", "fall"),
    [
        ([(100, 0), (98, 0)], (2, 100), (2, 100)),
        ([(100, 0), (110, 0), (99, 0)], (11, 110), (11, 110)),
        ([(100, 0), (120, 0), (90, 0), (96, 0)], (0, 90), (4, 100)),  # a high in the middle of a past day is no peak
        ([(100, 0), (101, 0)], (0, 100), (0, 101)),
        ([(100, 0), (190, 100)], (10, 200), (10, 200)),  # a deposit hides no loss
        ([(200, 0), (90, -100)], (10, 100), (10, 100)),  # and a withdrawal is none
        ([(100, 0), (220, 100), (210, 0)], (10, 220), (10, 220)),
    ],
)
def test_losses_come_out_as_by_hand(
    books: Books, points: list[Point], day_loss: tuple[int, int], fall: tuple[int, int]
) -> None:
    before = CLOSE + HOUR * (len(points) - 2)
    found = books.losses(points, before + timedelta(minutes=1))
    assert found is not None
    assert (found.nav, found.nav_at) == (points[-1][0], before + HOUR)
    assert (found.of_day.amount, found.of_day.base, found.of_day.since) == (*day_loss, before)
    assert (found.from_peak.amount, found.from_peak.base) == fall
    assert found.of_day.fraction == Decimal(day_loss[0]) / day_loss[1]


def test_the_end_of_a_past_day_is_a_peak_and_the_first_of_equals_counts(books: Books) -> None:
    found = books.losses(
        [(100, 0), (120, 0), (120, 0), (90, 0), (96, 0)], CLOSE + 4 * HOUR, ends=frozenset({1, 2})
    )  # fmt: skip
    assert found is not None
    assert (found.from_peak.amount, found.from_peak.base, found.from_peak.since) == (24, 120, CLOSE + HOUR)


def test_before_the_first_valuation_nothing_is_told(books: Books) -> None:
    assert books.losses([], CLOSE) is None


def test_a_value_that_is_none_or_a_base_of_nothing_cannot_be_judged(books: Books) -> None:
    found = books.losses([(0, 0), (0, 0)], CLOSE)
    assert found is not None
    assert (found.of_day.fraction, found.from_peak.fraction) == (None, None)


def test_what_is_no_number_cannot_be_judged_either() -> None:
    for nav, base in (("NaN", "100"), ("90", "NaN"), ("90", "-1")):
        assert Loss(Decimal(nav), Decimal(base), CLOSE).fraction is None
    assert Loss(Decimal(-10), Decimal(100), CLOSE).fraction == Decimal("1.1")


def test_of_several_values_at_one_market_time_the_newest_counts(books: Books) -> None:
    found = books.losses([(100, 0), (300, 0), (90, 0)], CLOSE, step=timedelta(0))
    assert found is not None
    assert (found.from_peak.amount, found.from_peak.base) == (0, 90)


HISTORIES = st.lists(st.tuples(st.integers(1, 1000), st.sampled_from([0, 0, 0, 200, -50])), min_size=1, max_size=8)


@given(HISTORIES, st.integers(-1, 8))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_losses_are_those_of_values_without_their_payments(books: Books, points: list[Point], begins: int) -> None:
    day = CLOSE + begins * HOUR + timedelta(minutes=1)
    found = books.losses(points, day)
    assert found is not None
    own = [nav - paid for (nav, _), paid in zip(points, accumulate(paid for _, paid in points), strict=True)]
    place = min(max(begins, 0), len(own) - 1)
    # Only the first value, the last one before the day and those of the day are kept as points.
    kept = own[:1] + own[max(begins, 0) :] if begins < len(own) else [own[0], own[-1]]
    assert found.of_day.amount == max(own[place] - own[-1], 0)
    assert found.from_peak.amount == max(kept) - own[-1]
    assert found.from_peak.amount >= found.of_day.amount

"""Who belongs to the universe on a day, whatever was said in whatever order."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.market.universe import UniverseChange, members

DAY = date(2012, 6, 1)
AT = datetime(2012, 1, 1, tzinfo=UTC)


def change(number: int, symbol: str, *, is_member: bool, after: int) -> UniverseChange:
    return UniverseChange(number, symbol, is_member, DAY + timedelta(days=after), "r", "anna", AT)


def test_configured_symbols_are_members_until_somebody_says_otherwise_and_from_that_day_on() -> None:
    changes = [change(1, "IBM", is_member=False, after=3), change(2, "NVDA", is_member=True, after=1)]
    universe = [members(["MSFT", "IBM"], changes, DAY + timedelta(days=n)) for n in range(5)]
    both = ("MSFT", "IBM", "NVDA")
    assert universe == [("MSFT", "IBM"), both, both, ("MSFT", "NVDA"), ("MSFT", "NVDA")]


CHANGES = st.lists(st.tuples(st.sampled_from("ABC"), st.booleans(), st.integers(0, 6)), max_size=8)


@given(CHANGES, st.integers(0, 6), st.integers(0, 8))
def test_only_what_holds_by_the_day_counts_and_what_was_said_of_later_days_changes_no_earlier_one(
    said: list[tuple[str, bool, int]], day: int, known: int
) -> None:
    changes = [change(n, s, is_member=m, after=d) for n, (s, m, d) in enumerate(said)]
    found = members(["A"], changes, DAY + timedelta(days=day))
    expected = {"A"}
    for symbol, is_member, _ in sorted((s for s in said if s[2] <= day), key=lambda one: one[2]):
        (expected.add if is_member else expected.discard)(symbol)
    assert (set(found), len(found)) == (expected, len(set(found)))
    later = [*changes, change(99, "A", is_member=False, after=day + 1)]
    assert members(["A"], later, DAY + timedelta(days=day)) == found

"""When people are told: pages at once, warnings in waking hours, the rest once a day; and never in a flood."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.alert import Delivery, Severity
from ibkr_assets.execution.alerting import (
    LONGEST_RETRY_S,
    Terms,
    digest_due,
    due_at,
    next_digest,
    retry_in,
    share_out,
    write_message,
)

NEW_YORK = ZoneInfo("America/New_York")
NIGHT = Terms(NEW_YORK, quiet=(time(22), time(7)))


def new_york(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


@pytest.mark.parametrize(
    ("severity", "now", "due"),
    [
        (Severity.PAGE, "2026-11-20 03:00", "2026-11-20 03:00"),
        (Severity.WARNING, "2026-11-20 03:00", "2026-11-20 07:00"),
        (Severity.WARNING, "2026-11-20 22:00", "2026-11-21 07:00"),
        (Severity.WARNING, "2026-11-20 07:00", "2026-11-20 07:00"),
        (Severity.WARNING, "2026-11-20 21:59", "2026-11-20 21:59"),
        (Severity.INFO, "2026-11-20 03:00", "2026-11-20 18:00"),
        (Severity.INFO, "2026-11-20 18:01", "2026-11-21 18:00"),
        # The clocks go back on 2026-11-01 and forward on 2026-03-08: seven is seven by the clock of that morning.
        (Severity.WARNING, "2026-10-31 23:00", "2026-11-01 07:00"),
        (Severity.WARNING, "2026-03-07 23:00", "2026-03-08 07:00"),
    ],
)
def test_pages_come_at_once_warnings_after_the_night_and_the_rest_in_the_digest(severity, now, due):
    assert due_at(severity, "run_failed", new_york(now), NIGHT) == new_york(due)


def test_quiet_hours_within_one_day_and_none_at_all():
    noon = Terms(NEW_YORK, quiet=(time(12), time(13)))
    assert due_at(Severity.WARNING, "x", new_york("2026-11-20 12:30"), noon) == new_york("2026-11-20 13:00")
    assert due_at(Severity.WARNING, "x", new_york("2026-11-20 23:30"), noon) == new_york("2026-11-20 23:30")
    assert due_at(Severity.WARNING, "x", new_york("2026-11-20 23:30"), Terms(NEW_YORK)) == new_york("2026-11-20 23:30")


@given(
    severity=st.sampled_from(Severity),
    now=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    begins=st.times(),
    ends=st.times(),
)
def test_nobody_waits_for_longer_than_a_day_and_nothing_is_told_early(severity, now, begins, ends):
    terms = Terms(NEW_YORK, quiet=(begins.replace(microsecond=0), ends.replace(microsecond=0)))
    due = due_at(severity, "x", now, terms)
    assert now <= due <= now + timedelta(hours=25)
    assert severity is not Severity.PAGE or due == now


def test_the_newest_digest_that_is_due_is_todays_from_its_hour_on():
    assert digest_due(new_york("2026-11-20 17:59"), NIGHT) == date(2026, 11, 19)
    assert digest_due(new_york("2026-11-20 18:00"), NIGHT) == date(2026, 11, 20)
    assert next_digest(new_york("2026-11-20 18:00"), NIGHT) == new_york("2026-11-20 18:00")


def test_tries_come_later_and_later_and_never_more_than_a_quarter_of_an_hour_apart():
    pauses = [retry_in(tries).total_seconds() for tries in range(1, 30)]
    assert pauses[:4] == [15, 30, 60, 120]
    assert pauses == sorted(pauses)
    assert max(pauses) == LONGEST_RETRY_S


deliveries = st.lists(
    st.tuples(st.sampled_from(Severity), st.sampled_from(["raised", "resolved", "reminder"])), max_size=30
).map(
    lambda drawn: [
        Delivery(n, event, 0, may_have_arrived=False, severity=severity, code="killed", alert_id=n)
        for n, (severity, event) in enumerate(drawn)
    ]
)


@given(due=deliveries, allowance=st.integers(-3, 10))
def test_nothing_is_told_twice_and_a_channel_is_never_handed_more_than_it_may(due, allowance):
    groups = share_out(due, allowance)
    told = [one.id for group in groups for one in group]
    assert len(told) == len(set(told))
    assert len(groups) <= max(allowance, 0)
    assert all(groups)
    if allowance >= 3:
        assert set(told) == {one.id for one in due}
    pages = [one.id for one in due if one.severity is Severity.PAGE]
    if allowance > 0 and pages:
        assert pages[0] in [one.id for one in groups[0]], "the most urgent first"


def test_a_page_stays_alone_while_there_are_few_and_goes_into_a_list_when_there_are_many():
    few = [Delivery(n, "raised", 0, may_have_arrived=False, severity=Severity.PAGE) for n in range(3)]
    many = [*few, *(Delivery(n, "raised", 0, may_have_arrived=False, severity=Severity.WARNING) for n in range(9, 20))]
    assert [len(group) for group in share_out(few, 6)] == [1, 1, 1]
    assert [len(group) for group in share_out(many, 6)] == [3, 11]
    assert [len(group) for group in share_out(many, 1)] == [14]


def test_a_message_says_what_it_is_and_what_to_do_and_its_number():
    one = Delivery(
        40, "raised", 0, may_have_arrived=False, severity=Severity.PAGE, code="killed", subject="#1 global",
        text="anna withdrew\x1b[2J permission", alert_id=17, raised_at=datetime(2026, 11, 20, 3, tzinfo=UTC),
    )  # fmt: skip
    message = write_message([one], place="ibkr_assets sim")
    assert message.title == r"ibkr_assets sim PAGE: anna withdrew\x1b[2J permission"
    assert "docs/runbook.md, section killed. Alert 17, delivery 40." in message.body
    assert "since 2026-11-20 03:00:00 UTC" in message.body
    assert "sent again" not in message.body
    again = write_message([Delivery(40, "raised", 1, may_have_arrived=True, severity=Severity.PAGE)], place="x")
    assert "Delivery 40 is sent again: whether it arrived the first time is not known." in again.body

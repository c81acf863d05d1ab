"""The table of New York's sessions, held against the calendar library, day by day."""

from datetime import date

import exchange_calendars

from ibkr_assets.domain.session import TradingSession
from ibkr_assets.market.new_york import CLOSED_WEEKDAYS, is_listed, list_sessions


def test_every_listed_session_opens_and_closes_as_in_the_calendar_library() -> None:
    first, last = date(min(CLOSED_WEEKDAYS), 1, 1), date(max(CLOSED_WEEKDAYS), 12, 31)
    calendar = exchange_calendars.get_calendar("XNYS", start=str(first), end=str(last))
    early = {moment.date() for moment in calendar.early_closes}
    rows = calendar.schedule[["open", "close"]].itertuples()
    expected = [
        TradingSession(
            "XNYS", row.Index.date(), row.open.to_pydatetime(), row.close.to_pydatetime(),
            is_early_close=row.Index.date() in early,
        )
        for row in rows
    ]  # fmt: skip
    assert list_sessions("XNYS", first, last) == expected
    assert len(early) > 50


def test_years_outside_the_table_are_not_listed() -> None:
    assert is_listed(date(1999, 1, 1), date(2030, 12, 31))
    assert not is_listed(date(1998, 12, 31), date(2001, 1, 1))
    assert not is_listed(date(2030, 1, 1), date(2031, 1, 1))

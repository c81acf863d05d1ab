"""Imported by the fork server of `stack.launcher`, and by nothing else: its import is what it is for.

What goes here: libraries whose first use is slow, used once, so that every run finds them used. What does not: the
platform's own modules, which each run reads from disk.
"""

import exchange_calendars

#: The exchange, and `market.calendar.FIRST_DAY`: the library keeps a calendar for the next caller who asks the same.
EXCHANGE, FIRST_DAY = "XNYS", "1999-01-01"

exchange_calendars.get_calendar(EXCHANGE, start=FIRST_DAY)

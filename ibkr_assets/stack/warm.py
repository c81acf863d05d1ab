"""Imported by the fork server of `stack.launcher`, last of all, and by nothing else: its import is what it is for.

What goes here: what is done once so that no run has to do it. What does not: the platform's own modules
(`stack.own_code`).
"""

import gc

import exchange_calendars

from ibkr_assets.adapters.code import code_sha256
from ibkr_assets.features.compute import load_machine_code
from ibkr_assets.market.validation import load_machine_code as load_judge
from ibkr_assets.stack.own_code import own_code

#: The exchange, and `market.calendar.FIRST_DAY`: the library keeps a calendar for the next caller who asks the same.
EXCHANGE, FIRST_DAY = "XNYS", "1999-01-01"

exchange_calendars.get_calendar(EXCHANGE, start=FIRST_DAY)
own_code.load()
load_machine_code()
load_judge()
code_sha256()  # every run names the code that decides; what was read once is only looked at again

# What is loaded by now stays for good. A run that searched it for garbage would copy every page of it, and did so for
# a third of a second.
gc.collect()
gc.freeze()

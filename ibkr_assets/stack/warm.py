"""Imported by the fork server of `stack.launcher`, and by nothing else: its import is what it is for.

What goes here: libraries whose first use is slow, used once, so that every run finds them used. What does not: the
platform's own modules, which each run reads from disk.
"""

import io
from datetime import date

import exchange_calendars
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from mlflow import MlflowClient

#: The exchange, and `market.calendar.FIRST_DAY`: the library keeps a calendar for the next caller who asks the same.
EXCHANGE, FIRST_DAY = "XNYS", "1999-01-01"

exchange_calendars.get_calendar(EXCHANGE, start=FIRST_DAY)


def draw_once() -> None:
    """Find and read the fonts, regular and bold, and set up dates, legend and PNG: half of a first chart's time."""
    figure = Figure()
    panel = figure.subplots()
    panel.plot([date(2024, 1, 2), date(2024, 6, 3)], [1.0, 2.0], label="once")
    panel.fill_between([date(2024, 1, 2), date(2024, 6, 3)], [1.0, 1.0], [2.0, 2.0])
    locator = AutoDateLocator()
    panel.xaxis.set_major_locator(locator)
    panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    panel.set_title("once", fontweight="bold")
    figure.legend()
    figure.savefig(io.BytesIO(), format="png")


draw_once()
# Picks and imports the stores of an HTTP tracking server; nothing is connected to before the first question.
MlflowClient(tracking_uri="http://127.0.0.1:9")

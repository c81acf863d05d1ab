"""A clock that stands where it is put."""

from datetime import datetime


class FixedClock:
    """The market's time as a value of the test; set `moment` to move it."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        """The instant it was put at."""
        return self.moment

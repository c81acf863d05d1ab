"""The closed list of what can be wrong with a bar. How each is found is in `market.validation`."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a bar is in quarantine. Stored as text, so a value once released keeps its meaning for ever.

    Where several apply, the first in this order is the one that is given.
    """

    MISSING_FIELD = "missing_field"
    NOT_FINITE = "not_finite"
    UNREADABLE = "unreadable"
    TZ_AMBIGUOUS = "tz_ambiguous"
    FUTURE = "future"
    OUTSIDE_SESSION = "outside_session"
    OFF_GRID = "off_grid"
    DUPLICATE_IN_FETCH = "duplicate_in_fetch"
    OUT_OF_ORDER = "out_of_order"
    NOT_POSITIVE = "not_positive"
    NEGATIVE_VOLUME = "negative_volume"
    OHLC_ORDER = "ohlc_order"
    ZERO_VOLUME_MOVE = "zero_volume_move"
    SPLIT_SUSPECT = "split_suspect"
    TOO_BIG_JUMP = "too_big_jump"


#: What each reason means, for people.
DESCRIPTIONS: dict[Reason, str] = {
    Reason.MISSING_FIELD: "a price, the volume or the time is missing",
    Reason.NOT_FINITE: "a price or the volume is infinite",
    Reason.UNREADABLE: "a field is no number, or the time is none",
    Reason.TZ_AMBIGUOUS: "the time names no zone, so it could be several instants",
    Reason.FUTURE: "the bar's interval was not over when it came",
    Reason.OUTSIDE_SESSION: "a daily bar does not start when a session opens, or a shorter one lies in no session",
    Reason.OFF_GRID: "the bar does not start a whole number of its lengths after the opening",
    Reason.DUPLICATE_IN_FETCH: "the bar came more than once; where the copies differ, none is accepted",
    Reason.OUT_OF_ORDER: "the bar came after a later one of the same instrument",
    Reason.NOT_POSITIVE: "a price is zero or below",
    Reason.NEGATIVE_VOLUME: "the volume is below zero",
    Reason.OHLC_ORDER: "high is below, or low is above, another price of the bar",
    Reason.ZERO_VOLUME_MOVE: "the price moved although nothing was traded",
    Reason.SPLIT_SUSPECT: "overnight the price changed by the ratio of a split, at ordinary volume",
    Reason.TOO_BIG_JUMP: "the close moved by more than 25 % and 12 standard deviations",
}

#: Bars that are unusual and may be right all the same. Any other fault is the bar's own, and only a new bar mends it.
RELEASABLE = frozenset({Reason.ZERO_VOLUME_MOVE, Reason.SPLIT_SUSPECT, Reason.TOO_BIG_JUMP})

#: More than this share of bars in quarantine means that the source is wrong, not a bar.
MOST_QUARANTINED = 0.02

#: Why an instrument is held when its bars exceed that share.
TOO_MANY_QUARANTINED = "too_many_quarantined"


def describe(reason: str) -> str:
    """The reason in words; a code of a release that knew others is given back as it is."""
    return DESCRIPTIONS[Reason(reason)] if reason in list(Reason) else reason

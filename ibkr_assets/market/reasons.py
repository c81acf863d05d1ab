"""The closed list of what can be wrong with a bar, and which of it a person may overrule.

What goes here: names and words. What does not: finding it. A bar's own faults are found in `market.validation` and
`market.jumps`, what the store knows of a bar in `ingest.evidence`, what an answer says of itself in
`adapters.ibkr.history_pages`, and what a file says of itself in `ingest.bar_files`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    #: For each row the code of a reason, or 0.
    Codes: TypeAlias = npt.NDArray[np.int8]


class Reason(StrEnum):
    """Why a bar is in quarantine. Stored as text, so a value once released keeps its meaning for ever.

    Where several apply, the first in this order is the one that is given. `unreadable` is to a row of a file what
    `not_json` is to an answer: a field that is text is neither missing nor infinite, and its row is kept as it stands.
    """

    NOT_JSON = "not_json"
    CHECKSUM = "checksum"
    CONID_MISMATCH = "conid_mismatch"
    SYMBOL_MISMATCH = "symbol_mismatch"
    CURRENCY_CHANGED = "currency_changed"
    CUT_AT_1000 = "cut_at_1000"
    MISSING_FIELD = "missing_field"
    NOT_FINITE = "not_finite"
    UNREADABLE = "unreadable"
    TZ_AMBIGUOUS = "tz_ambiguous"
    FUTURE = "future"
    PARTIAL_BAR = "partial_bar"
    DELAYED_FEED = "delayed_feed"
    OUTSIDE_SESSION = "outside_session"
    OFF_GRID = "off_grid"
    BEFORE_LISTING = "before_listing"
    DUPLICATE_IN_FETCH = "duplicate_in_fetch"
    OUT_OF_ORDER = "out_of_order"
    NOT_POSITIVE = "not_positive"
    NEGATIVE_VOLUME = "negative_volume"
    OHLC_ORDER = "ohlc_order"
    ZERO_VOLUME_MOVE = "zero_volume_move"
    SPLIT_SUSPECT = "split_suspect"
    TOO_BIG_JUMP = "too_big_jump"
    STUCK = "stuck"


#: What stands for a reason in columns of numbers, in the order of the list; 0 stands for none.
CODES = {reason: code for code, reason in enumerate(Reason, start=1)}
_WORDS = ("", *(reason.value for reason in Reason))


def words_of(codes: Codes) -> list[str]:
    """The reasons that these codes stand for, "" for none."""
    return [_WORDS[code] for code in codes.tolist()]


#: What each reason means, for people.
DESCRIPTIONS: dict[Reason, str] = {
    Reason.NOT_JSON: "the broker's answer is no JSON; its text is kept",
    Reason.CHECKSUM: "the values are not those that the checksum beside them was made of",
    Reason.CONID_MISMATCH: "the row is of another contract than the one asked for",
    Reason.SYMBOL_MISMATCH: "the broker's answer names another symbol than the one asked for",
    Reason.CURRENCY_CHANGED: "the price is in another currency than the contract's",
    Reason.CUT_AT_1000: "the answer has 1,000 bars or more, IBKR's limit, so nobody knows what was cut off",
    Reason.MISSING_FIELD: "a price, the volume or the time is missing",
    Reason.NOT_FINITE: "a price or the volume is infinite",
    Reason.UNREADABLE: "a field is no number, or the time is none",
    Reason.TZ_AMBIGUOUS: "the time names no zone, so it could be several instants",
    Reason.FUTURE: "the bar's interval had not begun when it came",
    Reason.PARTIAL_BAR: "the bar's interval was not over when it came",
    Reason.DELAYED_FEED: "it came from a delayed feed before the feed could have had all of it",
    Reason.OUTSIDE_SESSION: "a daily bar does not start when a session opens, or a shorter one lies in no session",
    Reason.OFF_GRID: "the bar does not start a whole number of its lengths after the opening",
    Reason.BEFORE_LISTING: "the bar is of a day before the instrument was listed",
    Reason.DUPLICATE_IN_FETCH: "the bar came more than once; where the copies differ, none is accepted",
    Reason.OUT_OF_ORDER: "the bar came after a later one of the same instrument",
    Reason.NOT_POSITIVE: "a price is zero or below",
    Reason.NEGATIVE_VOLUME: "the volume is below zero",
    Reason.OHLC_ORDER: "high is below, or low is above, another price of the bar",
    Reason.ZERO_VOLUME_MOVE: "the price moved although nothing was traded",
    Reason.SPLIT_SUSPECT: "overnight the price changed by the ratio of a split, at ordinary volume",
    Reason.TOO_BIG_JUMP: "the close moved by more than 25 % and 12 standard deviations",
    Reason.STUCK: "the twentieth equal bar in a row, or a later one, although the instrument trades",
}

#: Bars that may be right all the same: unusual ones, and those that came early and stayed as they were. Any other fault
#: is the bar's own, and only a new bar mends it.
RELEASABLE = frozenset({
    Reason.ZERO_VOLUME_MOVE, Reason.SPLIT_SUSPECT, Reason.TOO_BIG_JUMP, Reason.STUCK, Reason.BEFORE_LISTING,
    Reason.PARTIAL_BAR, Reason.DELAYED_FEED,
})  # fmt: skip

#: More than this share of bars in quarantine means that the source is wrong, not a bar.
MOST_QUARANTINED = 0.02

#: Why an instrument is held when its bars exceed that share.
TOO_MANY_QUARANTINED = "too_many_quarantined"


def describe(reason: str) -> str:
    """The reason in words; a code of a release that knew others is given back as it is."""
    return DESCRIPTIONS[Reason(reason)] if reason in list(Reason) else reason

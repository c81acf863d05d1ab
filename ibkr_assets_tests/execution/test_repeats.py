"""The same trouble is a line a minute with a count, and another one is a line at once."""

from __future__ import annotations

import logging
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.execution.repeats import TOLD_EVERY_S, Repeats


class Lines(logging.Handler):
    """What was written."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


class Told:
    """Trouble told at seconds that the test chooses, and the lines that come of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines = Lines()
        log = logging.getLogger("ibkr_assets.tests.repeats")
        log.handlers, log.propagate = [self.lines], False
        self.repeats = Repeats(log, lambda: self.now)

    def at(self, second: float, text: str) -> list[str]:
        self.now = second
        before = len(self.lines.texts)
        self.repeats.tell(logging.WARNING, text)
        return self.lines.texts[before:]


def test_the_same_trouble_is_told_at_once_and_then_once_a_minute_with_its_count() -> None:
    told = Told()
    assert told.at(0, "held elsewhere") == ["held elsewhere"]
    assert [told.at(second, "held elsewhere") for second in range(1, 60)] == [[]] * 59
    assert told.at(60, "held elsewhere") == ["held elsewhere (59 times more in the last 60 s)"]
    assert told.at(61, "held elsewhere") == []


def test_numbers_do_not_make_it_another_trouble_and_words_do() -> None:
    told = Told()
    told.at(0, "trying again in 0.4 s: away")
    assert told.at(1, "trying again in 0.7 s: away") == []
    assert told.at(2, "trying again in 0.7 s: refused") == ["trying again in 0.7 s: refused"]
    assert told.at(3, "trying again in 0.4 s: away") == ["trying again in 0.4 s: away"]


def test_trouble_that_comes_back_after_a_quiet_minute_is_new() -> None:
    told = Told()
    told.at(0, "away")
    told.at(1, "away")
    assert told.at(1 + TOLD_EVERY_S, "away") == ["away"]


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from("abc")), min_size=1, max_size=60))
def test_another_trouble_is_always_told_and_the_same_never_twice_in_a_minute(steps: list[tuple[int, str]]) -> None:
    told, now, written = Told(), 0, []
    for (step, text), before in zip(steps, [(0, ""), *steps], strict=False):
        now += step
        lines = told.at(now, text)
        assert lines or text == before[1], "another trouble than the last"
        written += [(now, text, line) for line in lines]
    for (earlier, one, _), (later, other, _) in pairwise(written):
        assert one != other or later - earlier >= TOLD_EVERY_S
    counted = sum(int(found[1]) for _, _, line in written if (found := re.search(r"\((\d+) times", line)))
    assert counted + len(written) <= len(steps)


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR])
def test_a_line_has_the_level_it_is_told_with(level: int) -> None:
    told = Told()
    found: list[int] = []
    told.lines.emit = lambda record: found.append(record.levelno)  # type: ignore[method-assign]
    told.repeats.tell(level, "away")
    assert found == [level]

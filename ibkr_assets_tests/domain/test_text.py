"""Nothing that somebody else wrote moves a cursor or hides what stands beside it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.text import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe 10 € 株", "Größe 10 € 株"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\x9b1mb", r"a\x9b1mb"),
        ("a\u202eb", r"a\u202eb"),
        ("a\x00b", r"a\x00b"),
        ("a\ud800b", r"a\ud800b"),
        ("line\r\nready\tnow", "line  ready now"),
        ("'; drop table x; --<b>", "'; drop table x; --<b>"),
    ],
)
def test_what_prints_nothing_is_written_as_its_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_long_text_is_cut_and_says_so() -> None:
    assert visible("x" * 11, most=10) == "xxxxxxx..."
    assert visible("x" * 10, most=10) == "x" * 10


@given(st.text(st.characters(), max_size=200), st.integers(10, 100))
def test_nothing_is_left_that_could_act(text: str, most: int) -> None:
    shown = visible(text, most=most)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert visible(shown) == shown
    shown.encode()

"""Nothing that is no JSON reaches an event, and what is missing is shown as missing."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.defs.metadata import cell, date_range, frame_table, number, picture, table


@given(st.none() | st.floats() | st.integers(-(2**53), 2**53) | st.decimals())
def test_every_number_is_json(value: object) -> None:
    json.dumps(number(value).value, allow_nan=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "–"),
        (np.nan, "–"),
        (pd.NaT, "–"),
        (Decimal("NaN"), "–"),
        (1.23456789, "1.23457"),
        (Decimal("12.50"), "12.50"),
        (date(2012, 11, 23), "2012-11-23"),
        (datetime(2012, 11, 23, 14, 30, tzinfo=UTC), "2012-11-23T14:30:00+00:00"),
        (pd.Timestamp("2012-11-23 14:30", tz="UTC"), "2012-11-23T14:30:00+00:00"),
        ("a|b\nc", "a\\|b c"),
    ],
)
def test_a_cell_is_text_a_person_reads(value: object, text: str) -> None:
    assert cell(value) == text


def test_a_table_shows_what_is_missing_and_how_much_is_left_out() -> None:
    shown = table([{"a": n, "b": None} for n in range(30)], ("a", "b")).value
    assert shown.splitlines()[:3] == ["| a | b |", "| --- | --- |", "| 0 | – |"]
    assert shown.endswith("and 5 more")
    assert table([], ("a",)).value == "none"


def test_a_frame_shows_its_newest_rows() -> None:
    frame = pd.DataFrame({"a": range(40), "b": [np.nan] * 40})
    shown = frame_table(frame, ("a", "b")).value
    assert shown.splitlines()[-1] == "| 39 | – |"
    assert "nan" not in shown


def test_a_range_is_one_word_or_two() -> None:
    days = [date(2012, 11, 21), date(2012, 11, 23)]
    assert date_range(days) == "2012-11-21 to 2012-11-23 (2 sessions)"
    assert date_range(days[:1]) == "2012-11-21"
    assert date_range([]) == "–"


def test_a_picture_is_in_the_page_itself() -> None:
    assert picture(b"\x89PNG").value == "![chart](data:image/png;base64,iVBORw==)"

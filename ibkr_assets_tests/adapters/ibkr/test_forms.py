"""IBKR's many forms of one value: read or refused, never guessed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.adapters.ibkr.forms import (
    LARGEST,
    marked_price,
    moment,
    number,
    optional_number,
    utc_text,
    whole,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, "5"),
        (Decimal("0.10"), "0.10"),
        ("1,300", "1300"),
        ("1,006,413.25", "1006413.25"),
        ("12.4M", "12400000"),
        ("3K", "3000"),
        ("1.5B", "1500000000"),
        (" 457.00 ", "457.00"),
        ("-37.63", "-37.63"),
        (0.1, "0.1"),
        ("1e3", "1000"),
        (".5", "0.5"),
        (Decimal("-0"), "0"),
    ],
)
def test_numbers_are_read_exactly(value: Any, expected: str) -> None:
    assert number(value) == Decimal(expected)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "NaN",
        "Infinity",
        "-inf",
        "1,30",
        "1,3000",
        "C1.2",
        "1 USD",
        "--1",
        "1.2.3",
        "0x10",
        True,
        None,
        [],
        {},
        "K",
        ".",
        "1e309",
        Decimal("NaN"),
        Decimal("Infinity"),
        float("nan"),
        float("inf"),
        10**15,
        "١٢",
    ],
)
def test_what_is_not_a_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not a number"):
        number(value)


@given(st.decimals(min_value=-LARGEST + 1, max_value=LARGEST - 1, places=4))
def test_a_number_written_with_separators_is_the_number(value: Decimal) -> None:
    assert number(f"{value:,f}") == value


@pytest.mark.parametrize("value", [None, "", "null", "N/A", " "])
def test_absence_is_none(value: Any) -> None:
    assert optional_number(value) is None
    assert marked_price(value) == (None, False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("C189.37", (Decimal("189.37"), False)),
        ("H12.3", (Decimal("12.3"), True)),
        ("647.09", (Decimal("647.09"), False)),
        (647.5, (Decimal("647.5"), False)),
        ("C1,234.50", (Decimal("1234.50"), False)),
        ("-1", (None, False)),
        (-1, (None, False)),
        ("-37.63", (Decimal("-37.63"), False)),
    ],
)
def test_marks_of_prices_are_read(value: Any, expected: tuple[Decimal | None, bool]) -> None:
    assert marked_price(value) == expected


@pytest.mark.parametrize("value", ["X12.3", "CH1", "C", "NaN", "CNaN"])
def test_an_unknown_mark_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        marked_price(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1775086847000, datetime(2026, 4, 1, 23, 40, 47, tzinfo=UTC)),
        (1775169606, datetime(2026, 4, 2, 22, 40, 6, tzinfo=UTC)),
        ("260401234047", datetime(2026, 4, 1, 23, 40, 47, tzinfo=UTC)),
        ("20261005-17:49:01", datetime(2026, 10, 5, 17, 49, 1, tzinfo=UTC)),
        ("1775169606", datetime(2026, 4, 2, 22, 40, 6, tzinfo=UTC)),
        (951921000000, datetime(2000, 3, 1, 14, 30, tzinfo=UTC)),
        (1775086847123, datetime(2026, 4, 1, 23, 40, 47, 123000, tzinfo=UTC)),
    ],
)
def test_all_forms_of_a_time_are_read(value: Any, expected: datetime) -> None:
    assert moment(value) == expected


@pytest.mark.parametrize("value", ["", "yesterday", "20261301-00:00:00", 0, -5, "2026", None, True, 10**15])
def test_what_is_not_a_time_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"not a|does not match|must be"):
        moment(value)


@given(st.integers(315_532_800, 2_114_380_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)))
def test_a_time_survives_every_form(instant: datetime) -> None:
    assert moment(utc_text(instant)) == instant
    assert moment(int(instant.timestamp()) * 1000) == instant
    assert moment(instant.strftime("%y%m%d%H%M%S")) == instant


@pytest.mark.parametrize(
    ("value", "expected"),
    [(265598, 265598), ("265598", 265598), ("265598@EDGEA", 265598), (Decimal("7.0"), 7), ("-1", -1)],
)
def test_ids_are_read(value: Any, expected: int) -> None:
    assert whole(value) == expected


@pytest.mark.parametrize("value", ["", "abc", 1.5, None, "@SMART"])
def test_what_is_not_an_id_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not a"):
        whole(value)

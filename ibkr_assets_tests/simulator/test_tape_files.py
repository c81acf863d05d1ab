"""The real tape's known facts, and the user's own files."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.simulator.tape import ActionKind, Tape
from ibkr_assets.simulator.tape_files import load_tape

HEAD = "opened_at,open,high,low,close,volume"


@pytest.fixture(scope="module")
def real() -> Tape:
    return load_tape("real")


def test_the_storm_closed_the_exchange_and_half_days_end_early(real: Tape) -> None:
    days = [session.day for session in real.sessions_between(date(2012, 10, 26), date(2012, 10, 31))]
    assert days == [date(2012, 10, 26), date(2012, 10, 31)]
    (half,) = real.sessions_between(date(2012, 11, 23), date(2012, 11, 23))
    assert half.is_early_close
    assert half.closes_at == datetime(2012, 11, 23, 18, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("symbol", "day", "kind", "amount"),
    [
        ("AAPL", date(2000, 6, 21), ActionKind.SPLIT, "2"),
        ("AAPL", date(2005, 2, 28), ActionKind.SPLIT, "2"),
        ("MSFT", date(2003, 2, 18), ActionKind.SPLIT, "2"),
        ("AAPL", date(2012, 11, 7), ActionKind.DIVIDEND, "2.65"),
        ("IBM", date(2012, 11, 7), ActionKind.DIVIDEND, "0.85"),
        ("MSFT", date(2012, 11, 13), ActionKind.DIVIDEND, "0.23"),
    ],
)
def test_known_splits_and_dividends_are_found(
    real: Tape, symbol: str, day: date, kind: ActionKind, amount: str
) -> None:
    conid = real.by_symbol[symbol].conid
    assert [(a.kind, a.amount) for a in real.actions_on(day) if a.conid == conid] == [(kind, Decimal(amount))]


def test_no_other_splits_are_found(real: Tape) -> None:
    splits = [a for s in real.sessions for a in real.actions_on(s.day) if a.kind is ActionKind.SPLIT]
    assert len(splits) == 3


def test_a_price_is_known_from_its_moment_on(real: Tape) -> None:
    conid = real.by_symbol["AAPL"].conid
    opened, closed = datetime(2012, 10, 1, 13, 30, tzinfo=UTC), datetime(2012, 10, 1, 20, 0, tzinfo=UTC)
    before = real.last_price(conid, opened.replace(minute=29))
    during = real.last_price(conid, opened)
    after = real.last_price(conid, closed)
    assert before is not None
    assert during is not None
    assert after is not None
    assert (before.session.day, before.is_close) == (date(2012, 9, 28), True)
    assert (during.price, during.is_close) == (Decimal("671.5"), False)
    assert (after.session.day, after.is_close) == (date(2012, 10, 1), True)
    assert real.last_price(real.by_symbol["FB"].conid, datetime(2012, 5, 18, 13, 0, tzinfo=UTC)) is None


def test_a_directory_of_csv_and_parquet_files_is_a_tape(tmp_path: Path) -> None:
    (tmp_path / "abc.csv").write_text(f"{HEAD}\n2020-01-03,2,3,1,2.5,100\n2020-01-02,1,2,0.5,1.5,200\n")
    frame = pd.DataFrame(
        {
            "opened_at": pd.to_datetime(["2020-01-02T14:30Z", "2020-01-03T14:30Z"]), "open": [5.0, 6.0],
            "high": [7.0, 7.0], "low": [4.0, 5.5], "close": [6.0, 6.5], "volume": [10, 20], "symbol": ["XYZ", "XYZ"],
        }
    )  # fmt: skip
    frame.to_parquet(tmp_path / "other.parquet")
    tape = load_tape(tmp_path)
    assert sorted(tape.by_symbol) == ["ABC", "XYZ"]
    abc, xyz = (tape.bar(tape.by_symbol[s].conid, date(2020, 1, 2)) for s in ("ABC", "XYZ"))
    assert abc is not None
    assert xyz is not None
    assert (abc.open, abc.volume, xyz.close) == (Decimal(1), 200, Decimal("6.0"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("opened_at,open,high,low,close\n2020-01-02,1,2,1,1\n", "column volume is missing"),
        (f"{HEAD}\n2020-01-02,1,2,1,1,5\n2020-01-02,1,2,1,1,5\n", "row 2: a second bar"),
        (f"{HEAD}\n2020-01-02,1,2,1,nan,5\n", "row 1: close is not a number: nan"),
        (f"{HEAD}\n2020-01-02,x,2,1,1,5\n", "row 1: open is not a number: x"),
        (f"{HEAD}\n2020-01-02,3,2,1,1,5\n", "row 1: high is below another price of its bar: 2"),
        (f"{HEAD}\nyesterday,1,2,1,1,5\n", "opened_at is not ISO 8601: yesterday"),
        (f"{HEAD}\n2020-01-02,1,2,1,,5\n", "row 1: close is not a number: $"),
        (f"{HEAD}\n2020-01-02,1,2,1,1\n", r"abc.csv: cannot be read: .*Expected 6 columns, got 5"),
        (f"{HEAD}\n", "abc.csv: has no bars"),
        (f"{HEAD},adj_close\n2020-01-02,1,2,1,1,5,1\n2020-01-03,1,2,1,1,5,0\n", "row 2: adj_close must be positive: 0"),
        (f"{HEAD}\n2020-01-01,1,2,1,1,5\n2020-01-02,1,2,1,1,5\n", "2020-01-01 is not a session"),
    ],
)
def test_a_bar_that_cannot_be_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "abc.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        load_tape(tmp_path)


def test_spaces_and_other_forms_of_a_day_are_read_as_what_they_are(tmp_path: Path) -> None:
    rows = ("20200102, 1.10,2,0.5,1.5,1e3", "2020-01-03T09:30-05:00,2,3,1,2.5,100.0", "2020-01-06T00:00Z,2,3,1,2.5,0")
    (tmp_path / "abc.csv").write_text("\n".join([HEAD, *rows]))
    tape = load_tape(tmp_path)
    bars = [tape.bar(tape.by_symbol["ABC"].conid, date(2020, 1, day)) for day in (2, 3, 6)]
    assert [(str(bar.open), bar.volume) for bar in bars if bar is not None] == [("1.10", 1000), ("2", 100), ("2", 0)]


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no such directory: .*nowhere"):
        load_tape(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match=r"no \.csv or \.parquet file"):
        load_tape(tmp_path)

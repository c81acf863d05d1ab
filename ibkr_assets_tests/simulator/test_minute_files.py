"""The user's own minute bars: zones, clock changes, half days, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.simulator.tape import Moment, Tape
from ibkr_assets.simulator.tape_files import load_tape

HEAD = "opened_at,open,high,low,close,volume"


def write(directory: Path, name: str, *rows: str, head: str = HEAD) -> None:
    (directory / "minutes").mkdir(exist_ok=True)
    (directory / "minutes" / name).write_text("\n".join([head, *rows]) + "\n")


def conid(tape: Tape, symbol: str = "ABC") -> int:
    return tape.by_symbol[symbol].conid


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_days_are_made_of_the_minutes_of_regular_hours(tmp_path: Path) -> None:
    write(
        tmp_path, "abc.csv",
        "2024-03-08T09:29:00-05:00,8,8,8,8,7",
        "2024-03-08T09:30:00-05:00,10,11,9.5,10.5,100",
        "2024-03-08T15:59:00-05:00,10.5,12.25,10,12,50",
        "2024-03-08T16:00:00-05:00,20,20,20,20,9",
        "2024-03-11T09:30:00-04:00,13,13,13,13,5",
    )  # fmt: skip
    tape = load_tape(tmp_path)
    friday = tape.bar(conid(tape), date(2024, 3, 8))
    assert friday is not None
    assert (friday.open, friday.high, friday.low, friday.close, friday.volume) == (
        Decimal(10), Decimal("12.25"), Decimal("9.5"), Decimal(12), 150,
    )  # fmt: skip
    assert tape.last_price(conid(tape), at("2024-03-08T17:00-05:00")) is not None
    assert tape.is_extended(at("2024-03-08T16:30-05:00"))
    assert not tape.is_extended(at("2024-03-11T16:30-04:00"))


def test_a_clock_change_moves_the_open_and_a_declared_zone_follows_it(tmp_path: Path) -> None:
    rows = [f"{day} 09:30,10,10,10,10,1" for day in ("2024-03-08", "2024-03-11", "2024-11-01", "2024-11-04")]
    write(tmp_path, "abc.csv", *rows)
    with pytest.raises(InputError, match=r"abc\.csv row 1: opened_at 2024-03-08 09:30 has no time zone"):
        load_tape(tmp_path)
    (tmp_path / "tape.toml").write_text('time_zone = "America/New_York"\n')
    tape = load_tape(tmp_path)
    opens = [session.opens_at for session in tape.sessions if tape.is_by_minute(conid(tape), session)]
    assert [moment.strftime("%m-%d %H:%M") for moment in opens] == [
        "03-08 14:30", "03-11 13:30", "11-01 13:30", "11-04 14:30",
    ]  # fmt: skip
    for moment in opens:
        assert tape.minute_open(conid(tape), int(moment.timestamp()) // 60) == 10


def test_a_half_day_closes_at_one(tmp_path: Path) -> None:
    write(
        tmp_path, "abc.csv",
        "2024-11-29T12:59-05:00,10,10,10,10,1",
        "2024-11-29T13:00-05:00,11,11,11,11,1",
        "2024-12-02T09:30-05:00,12,12,12,12,1",
    )  # fmt: skip
    tape = load_tape(tmp_path)
    day = tape.bar(conid(tape), date(2024, 11, 29))
    assert day is not None
    assert (day.close, day.volume) == (Decimal(10), 1)
    closes = [when for when, moment, _ in tape.moments_between(at("2024-11-29T00:00Z"), at("2024-11-30T00:00Z"))
              if moment is Moment.CLOSE]  # fmt: skip
    assert closes == [at("2024-11-29T13:00-05:00")]
    assert tape.is_extended(at("2024-11-29T16:59-05:00"))
    assert not tape.is_extended(at("2024-11-29T17:00-05:00"))


def test_parquet_with_zones_and_a_column_of_symbols(tmp_path: Path) -> None:
    stamps = pd.to_datetime(["2024-03-08T14:30Z", "2024-03-08T14:30Z", "2024-03-11T13:30Z"]).tz_convert("Europe/Zurich")
    frame = pd.DataFrame(
        {
            "opened_at": stamps, "open": 1.5, "high": 1.5, "low": 1.5, "close": 1.5, "volume": 3,
            "symbol": ["abc", "xyz", "abc"],
        }
    )  # fmt: skip
    (tmp_path / "minutes").mkdir()
    frame.to_parquet(tmp_path / "minutes" / "all.parquet")
    tape = load_tape(tmp_path)
    assert sorted(tape.by_symbol) == ["ABC", "XYZ"]
    first = tape.minute_bar(conid(tape), int(at("2024-03-08T14:30Z").timestamp()) // 60)
    assert first is not None
    assert (first.open, first.volume) == (Decimal("1.50"), 3)


def test_times_are_read_in_every_form_of_iso_8601(tmp_path: Path) -> None:
    write(tmp_path, "abc.csv", "2024-W10-5T09:30-05:00,1,1,1,1,1", "2024-03-08 14:31:00.000Z,2,2,2,2,1")
    frame = pd.DataFrame({"opened_at": pd.to_datetime(["2024-03-11 09:30"])})
    frame[HEAD.split(",")[1:]] = 3
    frame.to_parquet(tmp_path / "minutes" / "xyz.parquet")
    with pytest.raises(InputError, match=r"xyz\.parquet row 1: opened_at 2024-03-11 09:30:00 has no time zone"):
        load_tape(tmp_path)
    (tmp_path / "tape.toml").write_text('time_zone = "America/New_York"\n')
    tape = load_tape(tmp_path)
    opens = [
        tape.minute_open(conid(tape), int(at(text).timestamp()) // 60)
        for text in ("2024-03-08T14:30Z", "2024-03-08T14:31Z")
    ]
    assert opens == [1, 2]
    assert tape.minute_open(conid(tape, "XYZ"), int(at("2024-03-11T13:30Z").timestamp()) // 60) == 3


def test_two_files_of_one_symbol_are_one_series_whatever_their_order(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "2024-03-11T09:31-04:00,2,2,2,2,1,ABC", head=f"{HEAD},symbol")
    write(tmp_path, "b.csv", "2024-03-08T09:31-05:00,1,1,1,1,1,ABC", head=f"{HEAD},symbol")
    tape = load_tape(tmp_path)
    last = tape.last_price(conid(tape), at("2024-03-08T09:31-05:00"))
    assert last is not None
    assert last.price == 1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["2024-03-08T09:30-05:00,x,2,1,1,5"], "abc.csv row 1: open is not a number: x"),
        (["2024-03-08T09:30-05:00,1,2,1,nan,5"], "abc.csv row 1: close is not a number: nan"),
        (["2024-03-08T09:30-05:00,1,2,0,1,5"], "abc.csv row 1: low must be positive: 0"),
        (["2024-03-08T09:30-05:00,1,2,1,1,-5"], "abc.csv row 1: volume must not be negative: -5"),
        (["2024-03-08T09:30-05:00,3,2,1,1,5"], "abc.csv row 1: high is below another price of its bar: 2"),
        (["2024-03-08T09:30-05:00,1,2,1.5,2,5"], "abc.csv row 1: low is above another price of its bar: 1.5"),
        (["yesterday,1,2,1,1,5"], "abc.csv row 1: opened_at"),
        (["2024-03-08T09:30:30-05:00,1,2,1,1,5"], "abc.csv row 1: opened_at is not the start of a minute"),
        (
            ["2024-03-08T09:30-05:00,1,2,1,1,5", "2024-03-08T09:31,1,2,1,1,5"],
            "abc.csv row 2: opened_at has no offset although other rows have one: 2024-03-08T09:31",
        ),
        (
            ["2024-03-08T09:30-05:00,1,2,1,1,5", "2024-03-08T14:30Z,1,2,1,1,5"],
            "abc.csv row 2: opened_at 2024-03-08T14:30:00+00:00 is a second bar of ABC for this minute",
        ),
        (
            ["2024-03-08T09:30-05:00,1,2,1,1,5", "2024-03-09T09:30-05:00,1,2,1,1,5", "2024-03-11T13:30Z,1,2,1,1,5"],
            "abc.csv row 2: opened_at 2024-03-09T14:30:00+00:00 is in no session of XNYS",
        ),
        (
            ["2024-03-08T03:59-05:00,1,2,1,1,5", "2024-03-11T09:30-04:00,1,2,1,1,5"],
            "abc.csv row 1: opened_at 2024-03-08T08:59:00+00:00 is in no session",
        ),
    ],
)  # fmt: skip
def test_a_minute_that_cannot_be_is_refused_with_its_place(tmp_path: Path, rows: list[str], said: str) -> None:
    write(tmp_path, "abc.csv", *rows)
    with pytest.raises(InputError) as refused:
        load_tape(tmp_path)
    assert said in str(refused.value)


def test_a_time_that_a_clock_shows_twice_or_never_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tape.toml").write_text('time_zone = "America/New_York"\n')
    for wrong in ("2024-11-03 01:30", "2024-03-10 02:30"):
        write(tmp_path, "abc.csv", f"{wrong},1,1,1,1,1")
        with pytest.raises(InputError, match=f"row 1: opened_at is there twice or never on the clock of .*: {wrong}"):
            load_tape(tmp_path)


def test_a_zone_that_is_none_and_a_setting_that_is_none_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "abc.csv", "2024-03-08 09:30,1,1,1,1,1")
    for text, said in (('time_zone = "New York"', "time_zone is no zone"), ('zone = "UTC"', "zone: unknown setting")):
        (tmp_path / "tape.toml").write_text(text)
        with pytest.raises(ConfigurationError, match=said):
            load_tape(tmp_path)


@pytest.mark.parametrize(
    ("day", "said"),
    [
        ("10,11,9.5,10.5,100", None),
        ("10,11,9.5,10.5,500", None),  # the day has its auctions besides
        ("10,11,9.5,10.4,100", "ABC 2024-03-08: close is 10.4 by the day and 10.50 by its minutes"),
        ("10,12,9.5,10.5,100", "ABC 2024-03-08: high is 12 by the day and 11.00 by its minutes"),
        ("10,11,9.5,10.5,99", "ABC 2024-03-08: volume is 99 by the day and 100 by its minutes"),
    ],
)
def test_a_day_and_its_minutes_must_agree(tmp_path: Path, day: str, said: str | None) -> None:
    (tmp_path / "abc.csv").write_text(f"{HEAD}\n2024-03-08,{day}\n2024-03-11,1,1,1,1,1\n")
    write(tmp_path, "abc.csv", "2024-03-08T09:30-05:00,10,11,9.5,10.5,100")
    if said is not None:
        with pytest.raises(InputError, match=said):
            load_tape(tmp_path)
        return
    tape = load_tape(tmp_path)
    whole = tape.bar(conid(tape), date(2024, 3, 8))
    assert whole is not None
    assert whole.volume == int(day.rsplit(",", 1)[1])
    monday = tape.sessions[1]
    assert not tape.is_by_minute(conid(tape), monday)
    assert tape.last_price(conid(tape), monday.opens_at + timedelta(hours=1)) is not None

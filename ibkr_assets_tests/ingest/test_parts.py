"""A run that is cut into parts stores and reports what it does in one."""

from datetime import UTC, date, datetime

import pandas as pd
import pytest

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.ingest import parts
from ibkr_assets.ingest.bars import IngestReport
from ibkr_assets.ingest.parts import in_parts, ingest_in_parts, validate_in_parts
from ibkr_assets.ingest.validation import ValidationReport
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.fakes.bars import MemoryBars
from ibkr_assets_tests.fakes.clock import FixedClock
from ibkr_assets_tests.fakes.source import TapeSource
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars

NYSE = exchange_calendar("XNYS")
SESSIONS = NYSE.sessions(date(2012, 11, 19), date(2012, 11, 23))
SYMBOLS = ("IBM", "AAPL", "MSFT")
EVENING = datetime(2012, 11, 26, tzinfo=UTC)


def run(store: MemoryBars, lines: list[str]) -> tuple[IngestReport, ValidationReport]:
    fetched = ingest_in_parts(
        TapeSource(real_bars()), store, NYSE, symbols=SYMBOLS, sessions=SESSIONS, warm_up_sessions=70,
        clock=FixedClock(EVENING), progress=lines.append, provenance="tape",
    )  # fmt: skip
    instruments = [INSTRUMENTS[symbol] for symbol in SYMBOLS]
    return fetched, validate_in_parts(store, NYSE, instruments=instruments, sessions=SESSIONS, progress=lines.append)


def stored(store: MemoryBars) -> pd.DataFrame:
    return store.load_bars(
        list(CONIDS.values()), BarSize.DAY, datetime(2000, 1, 1, tzinfo=UTC), EVENING, is_validated=True
    )


def test_parts_store_and_count_what_one_run_does(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = MemoryBars()
    lines: list[str] = []
    fetched, judged = run(whole, lines)
    assert not any("stored" in line or "judged" in line for line in lines)
    monkeypatch.setattr(parts, "BARS_AT_A_TIME", 75)
    cut, lines = MemoryBars(), []
    fetched_in_parts, judged_in_parts = run(cut, lines)
    assert [line for line in lines if "stored" in line] == [f"{n} of 3 symbols stored" for n in (1, 2, 3)]
    pd.testing.assert_frame_equal(stored(cut), stored(whole))
    assert fetched_in_parts.saved == fetched.saved
    assert fetched_in_parts.instruments == fetched.instruments
    assert (len(judged_in_parts.accepted), judged_in_parts.missing) == (len(judged.accepted), judged.missing)
    assert judged_in_parts.warm_up_accepted == judged.warm_up_accepted > 0


def test_a_part_has_as_many_items_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "BARS_AT_A_TIME", 10)
    assert in_parts("abcde", 5) == ["ab", "cd", "e"]
    assert in_parts("abc", 11) == ["a", "b", "c"]
    assert in_parts("", 5) == []

"""What a soak is judged by: exceptions that nobody foresaw, memory that grows, days that are the same every time."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.simulator.tape_files import load_tape
from ibkr_assets_tests.soak.faults import BY_DAY, BY_EVENING, ON_THE_LAST_EVENING
from ibkr_assets_tests.soak.report import measure_growth, read_logs
from ibkr_assets_tests.soak.tape import symbols, write_tape

FORESEEN = """Traceback (most recent call last):
  File "a.py", line 1, in b
    raise Unavailable("gone")
ibkr_assets.domain.errors.Unavailable: gone
"""
UNFORESEEN = """Traceback (most recent call last):
  File "a.py", line 1, in b
    {}["a"]
KeyError: 'a'
"""


def test_an_exception_that_is_not_the_platforms_own_is_unforeseen_however_its_line_is_written(tmp_path: Path) -> None:
    (tmp_path / "plain.log").write_text(f"ready\n{FORESEEN}more\n{UNFORESEEN}")
    (tmp_path / "lines.log").write_text('{"event": "x", "exception": "' + UNFORESEEN.replace("\n", "\\n") + '"}\n')
    unforeseen, tracebacks = read_logs([tmp_path / "plain.log", tmp_path / "lines.log"])
    assert unforeseen == {"plain.log: KeyError": 1, "lines.log: KeyError": 1}
    assert tracebacks == {"plain.log": 2, "lines.log": 1}


def test_growth_is_from_after_the_warm_up_to_the_end() -> None:
    weights = [{"a": 50}, {"a": 80}, {"a": 100}, {"a": 100}, {"a": 100}, {"a": 102}, {"a": 104}, {"a": 110}]
    assert measure_growth(weights)["a"] == (pytest.approx(100 / 1e6), pytest.approx(104 / 1e6), pytest.approx(0.04))


def test_one_session_alone_has_not_grown() -> None:
    assert measure_growth([{"a": 50}])["all together"] == (pytest.approx(50 / 1e6), pytest.approx(50 / 1e6), 0)


def test_the_plan_names_every_fault_but_the_one_that_needs_tls() -> None:
    planned = {fault["id"] for fault in (*BY_DAY, *BY_EVENING, *ON_THE_LAST_EVENING)}
    assert planned == {f"F{number}" for number in range(1, 55)} - {"F52"}


def test_the_tape_is_the_same_for_a_seed_and_the_gateway_takes_it(tmp_path: Path) -> None:
    days = exchange_calendar("XNYS").sessions(date(2012, 11, 21), date(2012, 11, 26))
    for name, seed in (("one", 7), ("again", 7), ("other", 8)):
        write_tape(tmp_path / name, symbols(7), days, seed=seed, days_before=3)
    one, again, other = (
        [pd.read_parquet(path) for path in sorted((tmp_path / name / "minutes").iterdir())]
        for name in ("one", "again", "other")
    )
    assert [len(frame) for frame in one] == [390 + 210 + 390] * 7
    assert all(a.equals(b) for a, b in zip(one, again, strict=True))
    assert not any(a.equals(b) for a, b in zip(one, other, strict=True))
    assert set(load_tape(tmp_path / "one").by_symbol) == set(symbols(7))

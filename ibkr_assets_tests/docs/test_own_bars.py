"""The page on bars of one's own: its commands exist, and its table of columns is what a file is read by."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pandas as pd

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.ingest.bar_files import VALUES, read_rows
from ibkr_assets.ingest.claims import CLAIMS
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.docs.pages import refuse_unknown_commands
from ibkr_assets_tests.fakes.tape import real_bars

PAGE = (Path(__file__).parents[2] / "docs" / "own-bars.md").read_text(encoding="utf-8")


def test_every_command_on_the_page_exists_with_its_options() -> None:
    typed = re.findall(r"(?m)(?:^|`)ibkr-assets ([^`\n]+)", PAGE)
    assert len(typed) == 5
    refuse_unknown_commands(typed)


def test_the_columns_of_the_table_are_those_that_are_read(tmp_path: Path) -> None:
    columns = re.findall(r"`([a-z_]+)`", "".join(re.findall(r"(?m)^\| (`.*?) \|", PAGE)))
    assert columns == ["opened_at", *VALUES, "symbol", *CLAIMS]
    bars = real_bars("IBM", start=date(2012, 10, 1), end=date(2012, 10, 5))
    given = bars.assign(opened_at=bars["opened_at"].dt.date, currency="USD", note="more of them")
    given[[*reversed(columns), "note"]].to_csv(tmp_path / "x.csv", index=False)
    rows = read_rows(tmp_path / "x.csv", BarSize.DAY, exchange_calendar("XNYS"))
    assert rows.unreadable.empty
    wanted = ["symbol", "opened_at", *VALUES]
    pd.testing.assert_frame_equal(rows.bars[wanted], bars[wanted], check_dtype=False)

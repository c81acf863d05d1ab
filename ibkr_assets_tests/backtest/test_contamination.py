"""Days that a model may have learnt about are counted and told."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from ibkr_assets.backtest.contamination import find_contamination

BARS = pd.DataFrame({"opened_at": pd.to_datetime([f"2012-01-0{day}T14:30:00Z" for day in range(1, 7)])})


@pytest.mark.parametrize(
    ("cutoff", "contaminated", "tag"),
    [(None, 6, "true"), (date(2011, 12, 31), 0, "false"), (date(2012, 1, 3), 3, "true"), (date(2030, 1, 1), 6, "true")],
)
def test_a_day_up_to_the_cutoff_is_contaminated_and_so_is_every_day_without_one(
    cutoff: date | None, contaminated: int, tag: str
) -> None:
    found = find_contamination(BARS, cutoff)
    assert (found.contaminated_bars, found.bars, found.tag) == (contaminated, 6, tag)
    assert bool(found.doubt) is (contaminated > 0)
    assert found.about["training_cutoff"] == ("unknown" if cutoff is None else cutoff.isoformat())


def test_the_words_name_the_bars_and_the_day() -> None:
    assert "3 of 6 bars" in find_contamination(BARS, date(2012, 1, 3)).doubt
    assert "after 2012-01-03" in find_contamination(BARS, date(2012, 1, 3)).doubt
    assert "is not known" in find_contamination(BARS, None).doubt

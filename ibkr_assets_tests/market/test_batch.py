"""The order in which a batch is gone through, and copies and latecomers, beside the same said row by row."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.market.batch import PRICES, find_copies, walk_of
from ibkr_assets.market.reasons import Reason, words_of

NAN = float("nan")
Row = tuple[int, int, float]
ROWS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5), st.sampled_from([1.0, 2.0, NAN])), max_size=12)


@given(ROWS)
def test_every_row_comes_once_by_instrument_and_time_and_of_copies_the_first_first(rows: list[Row]) -> None:
    walk = walk_of(*(np.array([row[place] for row in rows], dtype=np.int64) for place in (0, 1)))
    gone = [walk.rows_of(number).tolist() for number in range(walk.starts.size - 1)]
    assert sorted(row for own in gone for row in own) == list(range(len(rows)))
    for own in gone:
        assert own == sorted(own, key=lambda row: (rows[row][1], row))
        assert len({rows[row][0] for row in own}) == 1
    assert len(gone) == len({row[0] for row in rows})


@given(ROWS)
def test_a_batch_is_sorted_only_where_it_must_be(rows: list[Row]) -> None:
    walk = walk_of(*(np.array([row[place] for row in rows], dtype=np.int64) for place in (0, 1)))
    by_conid = [[row[1] for row in rows if row[0] == conid] for conid in (1, 2, 3)]
    is_ascending = all(own == sorted(set(own)) for own in by_conid)
    is_together = len([n for n in range(len(rows)) if n == 0 or rows[n][0] != rows[n - 1][0]]) == len(
        {row[0] for row in rows}
    )
    assert (walk.order.size == 0) == (len(rows) == 0 or (is_ascending and is_together))


@given(ROWS)
def test_later_copies_contradictions_and_latecomers_are_what_they_are_row_by_row(rows: list[Row]) -> None:
    moments = np.array([row[1] for row in rows], dtype=np.int64) * 10**9
    bars = pd.DataFrame({"conid": np.array([row[0] for row in rows], dtype=np.int64), "opened_at": moments})
    bars["opened_at"] = pd.to_datetime(bars["opened_at"], utc=True)
    bars[[*PRICES, "volume"]] = np.array([[row[2]] * 5 for row in rows]).reshape(len(rows), 5)
    expected = []
    for place, (conid, at, _) in enumerate(rows):
        copies = [n for n, row in enumerate(rows) if row[:2] == (conid, at)]
        if place != copies[0] or len({repr(rows[n][2]) for n in copies}) > 1:
            expected.append(Reason.DUPLICATE_IN_FETCH)
        elif any(row[0] == conid and row[1] > at for row in rows[:place]):
            expected.append(Reason.OUT_OF_ORDER)
        else:
            expected.append("")
    assert words_of(find_copies(bars, moments)) == expected

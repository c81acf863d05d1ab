"""The real tape's splits and its special dividend, and what adjusting must not do."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from ibkr_assets.domain.errors import DataError, InputError
from ibkr_assets.market.adjustment import ActionKind, CorporateAction, adjust
from ibkr_assets_tests.fakes.tape import CONIDS, real_bars

SPLITS = [("AAPL", date(2000, 6, 21)), ("AAPL", date(2005, 2, 28)), ("MSFT", date(2003, 2, 18))]
#: Microsoft paid 3.00 USD a share beside the ordinary 0.08; the shares traded without it from 15 November 2004 on.
SPECIAL = CorporateAction(CONIDS["MSFT"], date(2004, 11, 15), ActionKind.CASH, Decimal("3.08"))
ACTIONS = [CorporateAction(CONIDS[s], day, ActionKind.SPLIT, Decimal(2)) for s, day in SPLITS] + [SPECIAL]


def moves(bars: pd.DataFrame, symbol: str) -> pd.Series:
    """The overnight change into each session, by day."""
    own = bars[bars["symbol"] == symbol].set_index(bars.loc[bars["symbol"] == symbol, "opened_at"].dt.date)
    return own["open"] / own["close"].shift() - 1


@pytest.mark.parametrize(("symbol", "day"), [*SPLITS, ("MSFT", SPECIAL.day)])
def test_on_the_day_of_an_action_the_tape_moves_as_on_any_other_day(symbol: str, day: date) -> None:
    bars = real_bars("AAPL", "MSFT")
    before, after = moves(bars, symbol)[day], moves(adjust(bars, ACTIONS, as_of=date(2013, 3, 1)), symbol)[day]
    assert before < -0.08
    assert abs(after) < 0.03


def test_a_crash_stays_a_crash() -> None:
    bars = real_bars("AAPL")
    crash = date(2000, 9, 29)
    adjusted = adjust(bars, ACTIONS, as_of=date(2013, 3, 1))
    assert moves(adjusted, "AAPL")[crash] == pytest.approx(moves(bars, "AAPL")[crash], rel=1e-12)
    assert moves(bars, "AAPL")[crash] < -0.4


def test_what_is_after_the_day_is_not_known_on_it_and_the_bars_given_stay_as_they_are() -> None:
    bars = real_bars("AAPL", "MSFT")
    kept = bars.copy()
    early = adjust(bars, ACTIONS, as_of=date(2003, 2, 17))
    pd.testing.assert_frame_equal(bars, kept)
    is_msft = (bars["symbol"] == "MSFT").to_numpy()
    assert (early.loc[is_msft, "factor"] == 1.0).all()
    assert set(early.loc[~is_msft, "factor"]) == {0.5, 1.0}
    assert set(adjust(bars, ACTIONS, as_of=date(2003, 2, 18)).loc[is_msft, "factor"]) == {0.5, 1.0}


def test_a_split_keeps_what_was_turned_over_and_cash_keeps_the_volume() -> None:
    bars = real_bars("MSFT")
    both = adjust(bars, ACTIONS, as_of=date(2013, 3, 1))
    is_old = (bars["opened_at"].dt.date < date(2003, 2, 18)).to_numpy()
    assert (both["volume"][is_old] == 2 * bars["volume"][is_old]).all()
    assert (both["volume"][~is_old] == bars["volume"][~is_old]).all()
    split = adjust(bars, ACTIONS[:3], as_of=date(2013, 3, 1))
    np.testing.assert_allclose(split["close"] * split["volume"], bars["close"] * bars["volume"], rtol=1e-12)


def test_cash_that_cannot_be_is_refused() -> None:
    bars = real_bars("MSFT", start=date(2004, 11, 1), end=date(2004, 11, 30))
    with pytest.raises(DataError, match=r"the close before it is 29\.97"):
        adjust(
            bars, [CorporateAction(CONIDS["MSFT"], SPECIAL.day, ActionKind.CASH, Decimal(40))], as_of=date(2005, 1, 1)
        )
    with pytest.raises(InputError, match="must be positive"):
        CorporateAction(1, SPECIAL.day, ActionKind.SPLIT, Decimal(0))

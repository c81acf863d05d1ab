"""Real daily bars of five US stocks, 2000 to 2013, as the platform's bar frames.

The prices come with the `bokeh_sampledata` wheel, unadjusted; here they only get conids and session openings.
"""

from datetime import date
from functools import cache

import pandas as pd

from ibkr_assets.domain.bar import BAR_COLUMNS
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.market.calendar import exchange_calendar

CONIDS = {"AAPL": 265598, "FB": 107113386, "GOOG": 208813720, "IBM": 8314, "MSFT": 272093}
INSTRUMENTS = {symbol: Instrument(conid, symbol, "NASDAQ") for symbol, conid in CONIDS.items()}
FIRST_DAY, LAST_DAY = date(2000, 3, 1), date(2013, 3, 1)


@cache
def _tape() -> pd.DataFrame:
    from bokeh_sampledata.stocks import data

    opens = {s.day: s.opens_at for s in exchange_calendar("XNYS").sessions(FIRST_DAY, LAST_DAY)}
    bars = data.rename(columns={"ticker": "symbol"})
    bars["day"] = bars["date"].dt.date
    bars["opened_at"] = pd.to_datetime(bars["day"].map(opens), utc=True).astype("datetime64[us, UTC]")
    bars["conid"] = bars["symbol"].map(CONIDS).astype("int64")
    bars["volume"] = bars["volume"].astype("float64")
    return bars.sort_values(["conid", "opened_at"]).reset_index(drop=True)


def real_bars(*symbols: str, start: date = FIRST_DAY, end: date = LAST_DAY) -> pd.DataFrame:
    """Bars of the symbols from `start` to `end`, both included, columns BAR_COLUMNS, by conid and time."""
    tape = _tape()
    wanted = tape["symbol"].isin(symbols or CONIDS) & (tape["day"] >= start) & (tape["day"] <= end)
    return tape.loc[wanted, list(BAR_COLUMNS)].reset_index(drop=True)

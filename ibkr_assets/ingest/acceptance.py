"""What of a fetch are bars of the instrument that was asked for; the rest is kept with its reason.

What goes here: a fetched frame against the instrument and what the broker says of the contract now. What does not:
judging bars (`market.validation`) and fetching them (`ingest.bars`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd

from ibkr_assets.domain.bar import BAR_COLUMNS
from ibkr_assets.domain.errors import DataError
from ibkr_assets.market.reasons import MOST_QUARANTINED, TOO_MANY_QUARANTINED, Reason

if TYPE_CHECKING:
    from ibkr_assets.domain.instrument import Instrument


def split_fetch(
    instrument: Instrument, bars: pd.DataFrame, described: tuple[str, str] | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows that are bars of the instrument, and the others with a `reason`; `raw` is the row as it came, if given.

    `described` is symbol and currency of the contract as the broker has them now, None where it said nothing: prices
    in another currency than the stored one's are no prices of this instrument. Raises DataError for a missing column.
    """
    missing = [name for name in BAR_COLUMNS if name not in bars.columns]
    if missing:
        raise DataError(f"bars of {instrument.symbol}: columns {missing} are missing")
    reasons = bars["reason"].astype(object).copy() if "reason" in bars.columns else pd.Series("", bars.index, object)
    faults = {
        Reason.CONID_MISMATCH: bars["conid"] != instrument.conid,
        Reason.SYMBOL_MISMATCH: bars["symbol"] != instrument.symbol,
    }
    if described is not None:
        faults[Reason.SYMBOL_MISMATCH] |= described[0] != instrument.symbol
        faults[Reason.CURRENCY_CHANGED] = pd.Series(described[1] != instrument.currency, bars.index)
    for reason, is_wrong in faults.items():
        reasons[is_wrong & (reasons == "")] = reason.value
    is_bar = reasons == ""
    kept = bars.loc[is_bar, [name for name in (*BAR_COLUMNS, "availability", "delay_s") if name in bars.columns]]
    rejected = bars.loc[~is_bar].assign(reason=reasons[~is_bar])
    if described is not None and len(rejected):
        rejected["described"] = " in ".join(described)
    return kept.reset_index(drop=True), rejected.reset_index(drop=True)


def fetches_to_hold_for(fetched: Mapping[Instrument, int], rejected: pd.DataFrame, *, at: datetime) -> pd.DataFrame:
    """Instruments of whose fetched rows more than 2 % are none of theirs, as `BarStore.save_holds` takes them.

    `fetched` counts all rows by instrument; `at` is when. The hold names the instant of the fetch, as there is no bar.
    """
    counts = rejected["asked_conid"].value_counts() if len(rejected) else pd.Series(dtype="int64")
    wrong: Sequence[Instrument] = [
        instrument for instrument, count in fetched.items()
        if count and counts.get(instrument.conid, 0) / count > MOST_QUARANTINED
    ]  # fmt: skip
    return pd.DataFrame({
        "conid": [one.conid for one in wrong], "symbol": [one.symbol for one in wrong],
        "opened_at": pd.to_datetime([at] * len(wrong), utc=True), "version": [0] * len(wrong),
        "reason": [TOO_MANY_QUARANTINED] * len(wrong),
    })  # fmt: skip

"""What follows from a verdict beside the verdict: people's decisions come first, and bad bars hold their instrument.

What goes here: combining frames. What does not: judging (`market.validation`), and storing (`adapters.postgres`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pandas as pd

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.market.quarantine import Decision
from ibkr_assets.market.reasons import MOST_QUARANTINED, TOO_MANY_QUARANTINED, Reason
from ibkr_assets.market.validation import Verdict

if TYPE_CHECKING:
    from ibkr_assets.ports import BarStore

_KEY = ["conid", "opened_at"]


def as_decided(store: BarStore, size: BarSize, verdict: Verdict) -> Verdict:
    """The verdict with released bars among the accepted ones, and rejected ones in quarantine for their old reason.

    The frames of `verdict` have `version`: a decision is on one version of a bar.
    """
    frames = [frame for frame in (verdict.accepted, verdict.quarantined) if not frame.empty]
    if not frames:
        return verdict
    conids = sorted({conid for frame in frames for conid in frame["conid"].tolist()})
    moments = pd.concat([frame["opened_at"] for frame in frames])
    start, end = moments.min().to_pydatetime(), moments.max().to_pydatetime() + timedelta(microseconds=1)
    decisions = store.load_decisions(conids, size, start, end)
    if decisions.empty:
        return verdict
    judged = pd.concat([verdict.accepted.assign(reason=""), verdict.quarantined])
    decisions["opened_at"] = decisions["opened_at"].astype(judged["opened_at"].dtype)
    judged = judged.merge(decisions, on=[*_KEY, "version"], how="left").sort_values(_KEY, kind="stable")
    judged.loc[judged["decision"] == Decision.RELEASE, "reason"] = ""
    is_rejected = judged["decision"] == Decision.REJECT
    judged.loc[is_rejected, "reason"] = judged.loc[is_rejected, "found"]
    judged = judged.drop(columns=["decision", "found"])
    is_accepted = judged["reason"] == ""
    accepted = judged[is_accepted].drop(columns="reason").reset_index(drop=True)
    return Verdict(accepted, judged[~is_accepted].reset_index(drop=True), verdict.missing)


def bars_to_hold_for(bars: pd.DataFrame, verdict: Verdict, good_before: pd.DataFrame) -> pd.DataFrame:
    """Bars that hold their instrument: conid, symbol, opened_at, version, reason.

    Every bar that looks like a corporate action, and the newest bad bar of an instrument of whose `bars` more than
    2 % are in quarantine. `good_before` names bars (conid, opened_at) that were accepted before this verdict. So a
    hold that was lifted comes back with the next bad bar, not with the next session.
    """
    columns = [*_KEY, "symbol", "version", "reason"]
    bad = verdict.quarantined
    suspects = bad.loc[bad["reason"] == Reason.SPLIT_SUSPECT, columns]
    if bad.empty:
        return suspects
    judged = pd.MultiIndex.from_frame(pd.concat([verdict.accepted[_KEY], bad[_KEY]]))
    accepted = pd.MultiIndex.from_frame(verdict.accepted[_KEY])
    key = pd.MultiIndex.from_frame(bars[_KEY])
    is_good = key.isin(accepted) | (key.isin(pd.MultiIndex.from_frame(good_before)) & ~key.isin(judged))
    is_known = is_good | (bars["opened_at"] <= bad["opened_at"].max()).to_numpy()
    share = pd.Series(~is_good[is_known]).groupby(bars["conid"].to_numpy()[is_known]).mean()
    wrong = share.index[share > MOST_QUARANTINED]
    newest = bad[bad["conid"].isin(wrong)].sort_values(_KEY, kind="stable").drop_duplicates("conid", keep="last")
    return pd.concat([suspects, newest[columns].assign(reason=TOO_MANY_QUARANTINED)], ignore_index=True)

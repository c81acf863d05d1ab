"""What a decision read, named exactly: bar versions with their hashes, and the actions that prices were adjusted for.

What goes here: those names. What does not: which bars a strategy is shown (`strategies.decide`), and asking whether
what they name is still so (`ports.BarStore.input_faults`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from ibkr_assets.domain.lineage import Comparison

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.features.state import Actions


class InputProof:
    """What names each bar of a frame: made once, because every signal needs some."""

    def __init__(self, bars: pd.DataFrame) -> None:
        import pandas as pd

        codes, distinct = pd.factorize(bars["opened_at"])  # all instruments have the same sessions
        moments = pd.DatetimeIndex(distinct).to_pydatetime().tolist()
        texts = [moment.isoformat() for moment in moments]
        self.moments: list[datetime] = [moments[code] for code in codes]
        self.versions: list[int] = bars["version"].tolist()
        rows = zip(bars["conid"].tolist(), codes.tolist(), self.versions, bars["row_sha"].tolist(), strict=True)
        self._lines = [f"{conid}|{texts[code]}|{version}|{row_sha}" for conid, code, version, row_sha in rows]

    def bars(self, rows: slice) -> tuple[tuple[datetime, int], ...]:
        """Opening and version of some rows."""
        return tuple(zip(self.moments[rows], self.versions[rows], strict=True))

    def digest(self, rows: slice, actions: Actions, comparison: Comparison | None = None) -> str:
        """SHA-256 (hex) over bars of one instrument: see `input_digest`."""
        beside = [] if comparison is None else [f"comparison|{comparison.sha256}"]
        return _sha256([*self._of(rows, actions), *beside])

    def compare(
        self, rows: Mapping[int, slice], actions: Mapping[int, Actions], columns: tuple[str, ...]
    ) -> Comparison:
        """What all of these instruments were shown, by conid."""
        own = {conid: actions.get(conid, ()) for conid in sorted(rows)}
        lines = [line for conid in own for line in self._of(rows[conid], own[conid], of=f"{conid}|")]
        return Comparison(_sha256(lines), columns, {conid: self.bars(rows[conid]) for conid in own}, own)

    def _of(self, rows: slice, actions: Actions, of: str = "") -> list[str]:
        first = self.moments[rows.start].date().isoformat()
        return [*self._lines[rows], *(of + "|".join(action) for action in actions if action[0] > first)]


def input_digest(bars: pd.DataFrame, actions: Actions = (), comparison: Comparison | None = None) -> str:
    """SHA-256 (hex) over the exact bar versions, one line each: conid, opened_at, version and the row's own hash.

    Another line for each action after the first of these bars: before it, nothing here was in other shares. And one for
    what the instrument was compared with.
    """
    return InputProof(bars).digest(slice(0, len(bars)), actions, comparison)


def compared(bars: pd.DataFrame, actions: Mapping[int, Actions], columns: tuple[str, ...]) -> Comparison:
    """As it comes to from all bars that were shown, by conid and time."""
    conids = bars["conid"].tolist()
    edges = [0, *(at for at, (one, other) in enumerate(pairwise(conids), start=1) if one != other), len(conids)]
    return InputProof(bars).compare({conids[a]: slice(a, b) for a, b in pairwise(edges)}, actions, columns)


def _sha256(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()

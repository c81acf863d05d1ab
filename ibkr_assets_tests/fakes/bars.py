"""The bar store in memory, under the same contract as the one in Postgres (`contracts.bar_store`)."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import pandas as pd

from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.signal import Signal
from ibkr_assets.features.state import FeatureInputs, FeatureStart
from ibkr_assets.market.adjustment import CorporateAction
from ibkr_assets.ports import BarsSaved

_VALUES = ("open", "high", "low", "close", "volume")


@dataclass
class _Version:
    symbol: str
    values: tuple[float, ...]
    version: int
    source: str
    known_from: datetime
    known_to: datetime | None = None
    verdict: str | None = None  # None: not judged; "": accepted; else the reason of the quarantine

    @property
    def row_sha(self) -> str:
        return hashlib.sha256(repr(self.values).encode()).hexdigest()


@dataclass
class MemoryBars:
    """Append-only versions by (conid, size, opened_at); the last of a list is the current one."""

    by_conid: dict[int, Instrument] = field(default_factory=dict)
    versions: dict[tuple[int, BarSize, datetime], list[_Version]] = field(default_factory=dict)
    features: dict[tuple[str, BarSize, int, datetime], dict[str, float]] = field(default_factory=dict)
    gaps: set[tuple[str, date]] = field(default_factory=set)
    holds: set[tuple[int, date, int]] = field(default_factory=set)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    delays: list[dict[str, Any]] = field(default_factory=list)
    actions: list[CorporateAction] = field(default_factory=list)
    decisions: dict[tuple[int, BarSize, datetime, int], tuple[str, str]] = field(default_factory=dict)

    def save_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Known from now on; the same conid again replaces what was known of it."""
        self.by_conid.update({i.conid: i for i in instruments})

    def instruments(self, symbols: Sequence[str] | None = None) -> list[Instrument]:
        """Known instruments by symbol."""
        known = {i.symbol: i for i in self.by_conid.values()}
        unknown = sorted(set(symbols or ()) - set(known))
        if unknown:
            raise InputError(f"symbols {unknown}: not known")
        return [known[s] for s in sorted(known if symbols is None else set(symbols))]

    def save_bars(self, bars: pd.DataFrame, size: BarSize, *, source: str, known_from: datetime) -> BarsSaved:
        """Version by version, one bar at a time."""
        inserted = revised = unchanged = 0
        for row in bars.to_dict("records"):
            versions = self.versions.setdefault(_key(row, size), [])
            values = tuple(float(row[name]) for name in _VALUES)
            if versions and repr(versions[-1].values) == repr(values):
                unchanged += 1
                continue
            if versions:
                versions[-1].known_to = known_from
                revised += 1
            else:
                inserted += 1
            versions.append(_Version(row["symbol"], values, len(versions) + 1, source, known_from))
        return BarsSaved(inserted, revised, unchanged)

    def save_rejected(self, rows: pd.DataFrame, size: BarSize, *, source: str, known_from: datetime) -> None:
        """Rows that were no bars."""
        self.rejected += rows.to_dict("records")

    def save_delays(self, bars: pd.DataFrame, size: BarSize, *, now: datetime) -> None:
        """Kept as they came; nothing here is judged by them."""
        self.delays += bars.to_dict("records")

    def load_marks(self, bars: pd.DataFrame, size: BarSize) -> pd.DataFrame:
        """A store in memory knows nothing beside the values."""
        return pd.DataFrame({"row": []})

    def input_faults(self, signals: Sequence[Signal], order_day: date | None = None) -> dict[Signal, str]:
        """A store in memory does not keep what signals rest on."""
        return {}

    def load_bars(
        self,
        conids: Sequence[int],
        size: BarSize,
        start: datetime,
        end: datetime,
        *,
        is_validated: bool = False,
        has_verdicts: bool = False,
        has_versions: bool = True,
    ) -> pd.DataFrame:
        """Current versions opened in [start, end)."""
        rows = []
        for (conid, of_size, opened_at), versions in sorted(self.versions.items()):
            bar = versions[-1]
            is_wanted = conid in set(conids) and of_size == size and start <= opened_at < end
            if is_wanted and (not is_validated or bar.verdict == ""):
                rows.append((conid, bar.symbol, opened_at, *bar.values, bar.version, bar.row_sha, bar.verdict == ""))
        frame = pd.DataFrame(rows, columns=[*BAR_COLUMNS, "version", "row_sha", "is_accepted"])
        numbers = dict.fromkeys(_VALUES, "float64") | {"conid": "int64", "version": "int64"}
        if not has_verdicts:
            frame = frame.drop(columns="is_accepted")
        frame["opened_at"] = pd.to_datetime(frame["opened_at"], utc=True).astype("datetime64[us, UTC]")
        return frame.astype(numbers).drop(columns=[] if has_versions else ["version", "row_sha"])

    def save_verdicts(self, size: BarSize, accepted: pd.DataFrame, quarantined: pd.DataFrame) -> None:
        """The verdict goes to the version that was judged; a newer one waits for its own."""
        judged = [(row, "") for row in accepted.to_dict("records")]
        judged += [(row, str(row["reason"])) for row in quarantined.to_dict("records")]
        for row, verdict in judged:
            for version in self.versions.get(_key(row, size), []):
                if version.version == row["version"]:
                    version.verdict = verdict

    def load_decisions(self, conids: Sequence[int], size: BarSize, start: datetime, end: datetime) -> pd.DataFrame:
        """The decisions a test has put in `decisions`."""
        rows = [
            (conid, opened_at, version, *decided)
            for (conid, of_size, opened_at, version), decided in sorted(self.decisions.items())
            if conid in set(conids) and of_size == size and start <= opened_at < end
        ]
        frame = pd.DataFrame(rows, columns=["conid", "opened_at", "version", "decision", "found"])
        frame["opened_at"] = pd.to_datetime(frame["opened_at"], utc=True).astype("datetime64[us, UTC]")
        return frame.astype({"conid": "int64", "version": "int64"})

    def save_gaps(
        self, size: BarSize, missing: Iterable[tuple[str, date]], *, conids: Sequence[int], sessions: Sequence[date]
    ) -> None:
        """Open gaps; one among these instruments and sessions that is no longer missing is closed."""
        symbols = {i.symbol for i in self.instruments() if i.conid in set(conids)}
        self.gaps -= {(symbol, day) for symbol in symbols for day in sessions}
        self.gaps |= set(missing)

    def save_holds(self, suspects: pd.DataFrame) -> None:
        """Instruments that are held, once for each version of a bar."""
        self.holds |= {(int(r["conid"]), r["opened_at"].date(), r["version"]) for r in suspects.to_dict("records")}

    def save_features(
        self, features: pd.DataFrame, size: BarSize, *, feature_digest: str, inputs: FeatureInputs | None = None
    ) -> int:
        """One row per bar, replaced when it comes again; what it was computed from is not kept."""
        for row in features.to_dict("records"):
            conid, opened_at = int(row.pop("conid")), row.pop("opened_at").to_pydatetime()
            self.features[(feature_digest, size, conid, opened_at)] = row
        return len(features)

    def load_feature_start(
        self, conids: Sequence[int], size: BarSize, before: datetime, *, feature_digest: str
    ) -> FeatureStart:
        """A store in memory has nothing to go on from: everything is computed from the first bar."""
        return FeatureStart({}, {})

    def load_actions(self, conids: Sequence[int]) -> list[CorporateAction]:
        """Those that a test has put in `actions`."""
        return [action for action in self.actions if action.conid in set(conids)]

    def load_features(
        self, conids: Sequence[int], size: BarSize, start: datetime, end: datetime, *, feature_digest: str
    ) -> pd.DataFrame:
        """Rows of this digest opened in [start, end)."""
        rows = [
            {"conid": conid, "opened_at": opened_at, **values}
            for (digest, of_size, conid, opened_at), values in sorted(self.features.items())
            if digest == feature_digest and of_size == size and conid in set(conids) and start <= opened_at < end
        ]
        frame = pd.DataFrame(rows, columns=None if rows else ["conid", "opened_at"])
        frame["opened_at"] = pd.to_datetime(frame["opened_at"], utc=True).astype("datetime64[us, UTC]")
        return frame.astype({"conid": "int64"})


def _key(row: dict[str, Any], size: BarSize) -> tuple[int, BarSize, datetime]:
    return int(row["conid"]), size, row["opened_at"].to_pydatetime()

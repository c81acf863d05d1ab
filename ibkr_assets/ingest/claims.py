"""What a file says of itself: its checksum, and the contract and currency of each row.

What goes here: holding the file to it. What does not: reading rows (`ingest.bar_files`), and storing those that fail
(`ingest.imports`). A file that says nothing is believed; it is judged bar by bar like any other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ibkr_assets.domain.errors import InputError
from ibkr_assets.market.reasons import Reason

if TYPE_CHECKING:
    from ibkr_assets.domain.instrument import Instrument

#: A file `x.csv.sha256` beside `x.csv`, as coreutils' `sha256sum x.csv` writes it.
CHECKSUM_SUFFIX = ".sha256"
#: Columns of a file that are held against the instrument, and the reason of a row that differs.
CLAIMS = {"conid": Reason.CONID_MISMATCH, "currency": Reason.CURRENCY_CHANGED}
_PREFIX = "claimed_"


def checksum_beside(path: Path) -> str | None:
    """The SHA-256 (hex) that the file beside this one names; None where there is no such file.

    Raises InputError for a checksum file that holds no SHA-256.
    """
    beside = path.with_name(path.name + CHECKSUM_SUFFIX)
    if not beside.exists():
        return None
    words = beside.read_text(encoding="utf-8", errors="replace").split()
    if not words or not re.fullmatch(r"[0-9a-fA-F]{64}", words[0]):
        raise InputError(f"bars: {beside} holds no SHA-256; expected what sha256sum writes")
    return words[0].lower()


def is_intact(path: Path) -> bool:
    """Whether the file is what the checksum beside it was made of; True where there is none. Raises as that does."""
    checksum = checksum_beside(path)
    if checksum is None:
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == checksum


def note_claims(raw: pd.DataFrame, bars: pd.DataFrame) -> pd.DataFrame:
    """The bars with what their rows in the file claim, as text; both frames have the same rows."""
    claims = {_PREFIX + name: raw[name].to_numpy() for name in CLAIMS if name in raw.columns}
    return bars.assign(**claims) if claims else bars


def split_by_claims(bars: pd.DataFrame, known: Mapping[str, Instrument]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The bars that are of their instrument as far as their file says, and the others with a `reason`.

    `bars` has `symbol`, and columns of `note_claims` where a file had them; a hole claims nothing.
    """
    claimed = [name for name in CLAIMS if _PREFIX + name in bars.columns]
    if not claimed:
        return bars, bars.head(0).assign(reason="")
    reasons = pd.Series("", bars.index, dtype=object)
    for name in claimed:
        claims = bars[_PREFIX + name]
        own = bars["symbol"].map({symbol: str(getattr(one, name)) for symbol, one in known.items()})
        is_wrong = claims.notna() & (claims.map(_text) != own)
        reasons[is_wrong & (reasons == "")] = CLAIMS[name].value
    is_right = reasons == ""
    wrong = bars[~is_right].assign(reason=reasons[~is_right])
    return bars[is_right].drop(columns=[_PREFIX + name for name in claimed]).reset_index(drop=True), wrong


def _text(value: object) -> str:
    """A whole number without its fraction: a column with a hole in it is made of floats."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()

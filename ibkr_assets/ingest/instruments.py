"""How a symbol that the store does not know becomes an instrument: by a file, by one given id, or by asking the broker.

What goes here: the order in which these are asked. What does not: known instruments, whose conid is never asked for
again (`ports.BarStore`).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.instrument import Instrument

if TYPE_CHECKING:
    from ibkr_assets.ports import BarSource


def resolver(
    file: Path | None, broker: Callable[[], BarSource] | None, *, conid: int | None = None, exchange: str = "SMART"
) -> Callable[[str], Instrument]:
    """What names an unknown symbol: the CSV `file`, else the one `conid`, else the broker's own search.

    It raises InputError for a symbol that none of them names, and for a second one beside `conid`.
    """
    given: dict[str, Instrument] = {}
    if file is not None:
        from ibkr_assets.ingest.bar_files import read_instruments

        given = {row["symbol"]: _instrument(row) for row in read_instruments(file)}
    taken: list[str] = []

    def resolve(symbol: str) -> Instrument:
        if symbol in given:
            return given[symbol]
        if conid is not None:
            taken.append(symbol)
            if len(set(taken)) > 1:
                raise InputError(f"conid {conid}: one contract, but the file has {' and '.join(taken)}")
            return Instrument(conid, symbol, exchange)
        if broker is not None:
            return broker().resolve(symbol)
        raise InputError(
            f"symbol {symbol}: not known; give --conid or --instruments (sources.instruments), "
            "or set gateway.url to ask the broker"
        )

    return resolve


def _instrument(row: dict[str, str]) -> Instrument:
    try:
        return Instrument(
            int(row["conid"]), row["symbol"], row.get("exchange") or "SMART", row.get("currency") or "USD",
            Decimal(row.get("tick") or "0.01"), Decimal(row.get("lot") or "1"),
        )  # fmt: skip
    except (ValueError, InvalidOperation):
        raise InputError(f"instruments: symbol {row['symbol']}: cannot be read: {row}") from None

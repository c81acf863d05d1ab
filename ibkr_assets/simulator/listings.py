"""What a contract is called: conids, company names and listings of the stocks on the real tape.

Ids and names are IBKR's own, as its stock search answers them today; other listings of a company are there because
the search returns them too, and a client must not pick them. A symbol that is not in the table gets a made-up
contract with an id derived from the symbol.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listing:
    """Another listing that a search returns beside the one on the tape."""

    conid: int
    exchange: str
    company: str
    is_us: bool = False


@dataclass(frozen=True, slots=True)
class Contract:
    """A US stock on the tape. `exchange` is the primary listing as the stock search spells it."""

    conid: int
    symbol: str
    company: str
    exchange: str
    others: tuple[Listing, ...] = ()

    @property
    def order_exchange(self) -> str:
        """The primary listing as order rows spell it."""
        return "NASDAQ.NMS" if self.exchange == "NASDAQ" else self.exchange


_KNOWN = (
    Contract(
        265598, "AAPL", "APPLE INC", "NASDAQ",
        (
            Listing(38708077, "MEXI", "APPLE INC"), Listing(273982664, "EBS", "APPLE INC"),
            Listing(493546048, "LSEETF", "LS 1X AAPL"), Listing(532640894, "AEQLIT", "APPLE INC-CDR"),
        ),
    ),
    Contract(
        272093, "MSFT", "MICROSOFT CORP", "NASDAQ",
        (
            Listing(38708990, "MEXI", "MICROSOFT CORP"), Listing(415569505, "EBS", "MICROSOFT CORP"),
            Listing(493546075, "LSEETF", "LS 1X MSFT"), Listing(518938052, "AEQLIT", "MICROSOFT CORP-CDR"),
        ),
    ),
    Contract(8314, "IBM", "INTL BUSINESS MACHINES CORP", "NYSE"),
    Contract(
        208813720, "GOOG", "ALPHABET INC", "NASDAQ",
        (
            Listing(210810667, "MEXI", "ALPHABET INC"), Listing(493546022, "LSEETF", "LS 1X GOOG"),
            Listing(532638805, "AEQLIT", "ALPHABET INC - CDR"),
        ),
    ),
    Contract(
        107113386, "FB", "META PLATFORMS INC-CLASS A", "NASDAQ",
        (Listing(114922621, "MEXI", "META PLATFORMS INC-CLASS A"),),
    ),
)  # fmt: skip
_BY_SYMBOL = {contract.symbol: contract for contract in _KNOWN}

#: Made-up ids start above every id IBKR gives today.
_MADE_UP_FROM = 1_500_000_000


def contracts_of(symbols: list[str]) -> list[Contract]:
    """One contract for each symbol, in order; ids are distinct and the same for the same symbol alone."""
    taken: set[int] = set()
    contracts = []
    for symbol in symbols:
        contract = _BY_SYMBOL.get(symbol) or _made_up(symbol, taken)
        taken.add(contract.conid)
        contracts.append(contract)
    return contracts


def _made_up(symbol: str, taken: set[int]) -> Contract:
    conid = _MADE_UP_FROM + zlib.crc32(symbol.encode()) % 500_000_000
    while conid in taken:
        conid += 1
    return Contract(conid, symbol, f"{symbol} (SIMULATED)", "NYSE")

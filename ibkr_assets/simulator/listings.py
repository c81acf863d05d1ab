"""What a contract is called: conids, company names and listings of the stocks on the real tape.

Ids, names and the order of listings are IBKR's own, as its stock search answers them; other listings are there because
the search returns them too, and a client must not pick them. A symbol that is not in the table gets a made-up
contract with an id derived from the symbol; every other one of these has a foreign listing, and it comes first.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Listing:
    """Another listing that a search returns beside the one on the tape."""

    conid: int
    exchange: str
    company: str
    is_us: bool = False
    chinese_name: str | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """A US stock on the tape. `exchange` is the primary listing as the stock search spells it.

    `kind` is COMMON or ETF. `chinese_name` is in HTML entities, as IBKR sends it. `are_others_first` puts the other
    listings before this one in a search.
    """

    conid: int
    symbol: str
    company: str
    exchange: str
    others: tuple[Listing, ...] = ()
    kind: str = "COMMON"
    chinese_name: str | None = None
    are_others_first: bool = False

    @property
    def order_exchange(self) -> str:
        """The primary listing as order rows spell it."""
        return "NASDAQ.NMS" if self.exchange == "NASDAQ" else self.exchange


_APPLE = "&#x82F9;&#x679C;&#x516C;&#x53F8;"
_MICROSOFT = "&#x5FAE;&#x8F6F;&#x516C;&#x53F8;"
_ALPHABET = "Alphabet&#x516C;&#x53F8;"
_META = "Meta&#x5E73;&#x53F0;&#x80A1;&#x4EFD;&#x6709;&#x9650;&#x516C;&#x53F8;"
_BBVA = "&#x897F;&#x73ED;&#x7259;&#x5BF9;&#x5916;&#x94F6;&#x884C;"
_SANTANDER = "&#x6851;&#x5766;&#x5FB7;"
_META_LISTING = Contract(
    107113386, "FB", "META PLATFORMS INC-CLASS A", "NASDAQ",
    (
        Listing(114922621, "MEXI", "META PLATFORMS INC-CLASS A"),
        Listing(530091499, "AEQLIT", "META PLATFORMS INC-CDR", chinese_name=_META),
    ),
    chinese_name=_META,
)  # fmt: skip
_KNOWN = (
    Contract(
        265598, "AAPL", "APPLE INC", "NASDAQ",
        (
            Listing(38708077, "MEXI", "APPLE INC"), Listing(273982664, "EBS", "APPLE INC"),
            Listing(493546048, "LSEETF", "LS 1X AAPL"),
            Listing(532640894, "AEQLIT", "APPLE INC-CDR", chinese_name=_APPLE),
        ),
        chinese_name=_APPLE,
    ),
    Contract(
        272093, "MSFT", "MICROSOFT CORP", "NASDAQ",
        (
            Listing(38708990, "MEXI", "MICROSOFT CORP"), Listing(415569505, "EBS", "MICROSOFT CORP"),
            Listing(493546075, "LSEETF", "LS 1X MSFT"),
            Listing(518938052, "AEQLIT", "MICROSOFT CORP-CDR", chinese_name=_MICROSOFT),
        ),
        chinese_name=_MICROSOFT,
    ),
    Contract(
        8314, "IBM", "INTL BUSINESS MACHINES CORP", "NYSE",
        (Listing(41645598, "LSE", "INTL BUSINESS MACHINES CORP"),),
    ),
    Contract(
        208813720, "GOOG", "ALPHABET INC-CL C", "NASDAQ",
        (
            Listing(210810667, "MEXI", "ALPHABET INC-CL C"), Listing(493546022, "LSEETF", "LS 1X GOOG"),
            Listing(532638805, "AEQLIT", "ALPHABET INC - CDR", chinese_name=_ALPHABET),
        ),
        chinese_name=_ALPHABET,
    ),
    _META_LISTING,
    replace(_META_LISTING, symbol="META"),
    Contract(
        4815, "BBVA", "BANCO BILBAO VIZCAYA-SP ADR", "NYSE",
        (
            Listing(30314149, "BM", "BANCO BILBAO VIZCAYA ARGENTA", chinese_name=_BBVA),
            Listing(38708792, "MEXI", "BANCO BILBAO VIZCAYA ARGENTA", chinese_name=_BBVA),
        ),
        chinese_name=_BBVA, are_others_first=True,
    ),
    Contract(
        12442, "SAN", "BANCO SANTANDER SA-SPON ADR", "NYSE",
        (
            Listing(38708867, "MEXI", "BANCO SANTANDER SA", chinese_name=_SANTANDER),
            Listing(385055564, "WSE", "BANCO SANTANDER SA", chinese_name=_SANTANDER),
            Listing(29612249, "SBF", "SANOFI", chinese_name="&#x8D5B;&#x8BFA;&#x83F2;"),
        ),
        chinese_name=_SANTANDER, are_others_first=True,
    ),
    Contract(
        589316251, "TEAM", "ATLASSIAN CORP-CL A", "NASDAQ",
        (Listing(475655801, "LSE", "TEAM PLC"),), are_others_first=True,
    ),
    Contract(
        756733, "SPY", "SPDR S&P 500 ETF TRUST", "ARCA",
        (Listing(38709152, "MEXI", "SPDR S&P 500 ETF TRUST"),), kind="ETF",
        chinese_name="SPDR&#x6807;&#x666E;500 ETF&#x4FE1;&#x6258;",
    ),
    Contract(320227571, "QQQ", "INVESCO QQQ TRUST SERIES 1", "NASDAQ", kind="ETF"),
)  # fmt: skip
_BY_SYMBOL = {contract.symbol: contract for contract in _KNOWN}

#: Made-up ids start above every id IBKR gives today; those of made-up foreign listings above these, below 2^31.
_MADE_UP_FROM = 1_500_000_000
_MADE_UP_ABROAD_FROM = 2_010_000_000


def contracts_of(symbols: list[str]) -> list[Contract]:
    """One contract for each symbol, in order; ids are distinct and the same for the same symbol alone."""
    taken: set[int] = set()
    contracts = []
    for symbol in symbols:
        known = _BY_SYMBOL.get(symbol)
        contract = known if known is not None and known.conid not in taken else _made_up(symbol, taken)
        taken.add(contract.conid)
        contracts.append(contract)
    return contracts


def _made_up(symbol: str, taken: set[int]) -> Contract:
    code = zlib.crc32(symbol.encode())
    conid = _MADE_UP_FROM + code % 500_000_000
    while conid in taken:
        conid += 1
    company = f"{symbol} (SIMULATED)"
    if code % 2 == 0:
        return Contract(conid, symbol, company, "NYSE")
    abroad = Listing(_MADE_UP_ABROAD_FROM + code % 100_000_000, "MEXI", company)
    return Contract(conid, symbol, company, "NYSE", (abroad,), are_others_first=True)

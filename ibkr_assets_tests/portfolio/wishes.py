"""Signals and targets for tests of sizing and rebalancing."""

from datetime import date
from decimal import Decimal

from ibkr_assets.domain.signal import Direction, Signal, TargetPosition
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.fakes.tape import INSTRUMENTS

NYSE = exchange_calendar("XNYS")
SESSION = NYSE.session(date(2012, 11, 21))
HALF_DAY = NYSE.session(date(2012, 11, 23))
SIGNS = {Direction.LONG: 1, Direction.FLAT: 0, Direction.SHORT: -1}


def signal(
    direction: Direction = Direction.LONG, *, price: str = "190.29", strength: float = 1.0, symbol: str = "IBM"
) -> Signal:
    return Signal(
        strategy_id="sma", strategy_version=1, conid=INSTRUMENTS[symbol].conid, symbol=symbol,
        session_date=SESSION.day, as_of=SESSION.closes_at, direction=direction, strength=strength,
        reference_price=Decimal(price), feature_digest="f", input_digest="i", reason="because",
    )  # fmt: skip


def target(quantity: int, *, price: str = "190.29", symbol: str = "IBM") -> TargetPosition:
    direction = Direction.LONG if quantity > 0 else Direction.SHORT if quantity < 0 else Direction.FLAT
    wish = signal(direction, price=price, symbol=symbol)
    return TargetPosition("sma", wish.conid, symbol, Decimal(quantity), wish)

"""What is decided in a chaos run: seeded, distinct decisions over several instruments, and the tape they trade on."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from ibkr_assets.domain.order import Mode, OrderIntent, Side, TimeInForce
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.simulator.listings import contracts_of
from ibkr_assets_tests.risk.orders import intent as base_intent

SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT", *(f"CH{letter}" for letter in "ABCDEFGHIJKLMNO"))
CONIDS = {contract.symbol: contract.conid for contract in contracts_of(list(SYMBOLS))}
PRICE = Decimal(100)
#: A buy so far below the price that IBKR asks whether it is meant; nobody sells to it.
FAR = Decimal(60)
FIRST = date(2012, 1, 3)
#: Shares of each instrument that are there from the start, so that there is something to sell.
OPENING_SHARES = 100_000


def sessions(count: int) -> list[TradingSession]:
    """So many sessions, and some more after them."""
    return exchange_calendar("XNYS").sessions(FIRST, FIRST + timedelta(days=20 + count * 2))


def write_tape(directory: Path, count: int) -> None:
    """Daily bars whose price never moves, so that only trouble moves anything."""
    directory.mkdir(parents=True)
    rows = "".join(f"{s.opens_at.isoformat()},100,100,100,100,10000000\n" for s in sessions(count))
    for symbol in SYMBOLS:
        (directory / f"{symbol}.csv").write_text("opened_at,open,high,low,close,volume\n" + rows)


def decide(
    chance: random.Random, numbers: range, account_ref: str, session: TradingSession, following: TradingSession
) -> list[OrderIntent]:
    """One decision a number, on the evening of `session` for the open of `following`.

    Most fill; every fourth is questioned and then waits in vain, some sell, a few are rehearsals.
    """
    intents = []
    for number in numbers:
        symbol = SYMBOLS[number % len(SYMBOLS)]
        kind = chance.random()
        is_sale = 0.55 <= kind < 0.70
        intents.append(
            base_intent(
                strategy_id=f"chaos{number}",
                account_ref=account_ref,
                mode=Mode.DRY_RUN if kind >= 0.95 else Mode.SIM,
                conid=CONIDS[symbol],
                symbol=symbol,
                side=Side.SELL if is_sale else Side.BUY,
                quantity=Decimal(chance.randint(1, 40)),
                limit_price=FAR if kind < 0.25 else PRICE,
                time_in_force=TimeInForce.OPENING,
                reference_price=PRICE,
                session_date=session.day,
                signal_bar_end=session.closes_at,
                valid_until=following.opens_at,
            )
        )
    return intents

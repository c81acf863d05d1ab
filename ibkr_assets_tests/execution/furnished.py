"""A database in which every rule can be evaluated: contracts, proven bars, a reconciled account, a submitter's word.

What a test adds is what it is about; everything here is as ordinary as can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

from ibkr_assets.adapters.machine import measure
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.ledger import AccountSnapshot, Holding
from ibkr_assets.domain.order import Mode, account_ref
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.risk.facts import PlatformFacts, Versions

VERSIONS = Versions(code="c0de", configuration="c0f1", schema="")
SYMBOLS = {8314: "IBM", 272093: "MSFT", 265598: "AAPL"}


def machine() -> PlatformFacts:
    """This machine, with versions that the submitter of `furnish` has too."""
    return measure(Path("/"), VERSIONS)


def furnished_book(database: Database) -> PostgresIntents:
    """An intent book whose every rule can be evaluated."""
    return PostgresIntents(database, "salt", None, machine)


def furnish(
    database: Database,
    *,
    account: str = "DU1000001",
    mode: Mode = Mode.SIM,
    last_day: date = date(2012, 10, 1),
    nav: Decimal = Decimal(100_000),
    symbols: Mapping[int, str] = SYMBOLS,
    holdings: Mapping[int, int] | None = None,
) -> PostgresLedger:
    """21 proven bars of 200 USD up to `last_day` for every symbol, ranging 8 USD, a million shares a day.

    The account holds `nav` in cash, and `holdings` of shares beside it, and was just compared.
    """
    ref = account_ref(account)
    ledger = PostgresLedger(database, VERSIONS)
    of_account = ledger.of_account(ref)
    of_account.lease.register(account, mode)
    epoch = of_account.lease.acquire("furnished", 20.0)
    assert epoch is not None
    of_account.lease.release()
    calendar = exchange_calendar("XNYS")
    days = [*calendar.sessions_before(last_day, 20), calendar.session(last_day)]
    held = [Holding(conid, symbols[conid], Decimal(shares)) for conid, shares in (holdings or {}).items()]
    at = days[-1].closes_at
    of_account.account.save_opening(nav, held, market_at=days[0].opens_at)
    store_nav(ledger, ref, nav, at, epoch=epoch, held=held)
    run = of_account.differences.open_run("start", epoch=epoch, gateway_session="s")
    of_account.differences.close_run(run, is_clean=True, market_at=at, orders_seen=0, trades_seen=0)
    furnish_bars(database, last_day=last_day, symbols=symbols)
    return ledger


def furnish_bars(database: Database, *, last_day: date, symbols: Mapping[int, str] = SYMBOLS) -> None:
    """Contracts resolved now, and the bars that `furnish` speaks of."""
    calendar = exchange_calendar("XNYS")
    days = [*calendar.sessions_before(last_day, 20), calendar.session(last_day)]
    bars = [(conid, day.opens_at, day.closes_at) for conid in symbols for day in days]
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into md.instrument (conid, symbol, exchange, currency, tick, lot, resolved_at) "
            "values (%s, %s, 'NYSE', 'USD', 0.01, 1, clock_timestamp())",
            list(symbols.items()),
        )
        cursor.executemany(
            "insert into md.bar (conid, bar_size, opened_at, version, known_from, open, high, low, close, volume, "
            "source, row_sha) values (%s, '1d', %s, 1, %s, 200, 204, 196, 200, 1000000, 'test', sha256('x'))",
            bars,
        )
        cursor.execute(
            "insert into md.bar_verdict (conid, bar_size, opened_at, version, verdict) "
            "select conid, bar_size, opened_at, version, 'accepted' from md.bar"
        )


def store_nav(
    ledger: PostgresLedger,
    ref: str,
    nav: Decimal,
    at: datetime,
    *,
    epoch: int = 1,
    held: list[Holding] | None = None,
    settled: Decimal | None = None,
) -> None:
    """A snapshot of this net asset value, everything in it at 200 USD; all of it settled unless `settled` is given."""
    rows = [
        {"conid": str(h.conid), "symbol": h.symbol, "quantity": str(h.quantity), "price": "200"} for h in held or []
    ]
    ledger.of_account(ref).account.save_snapshot(
        AccountSnapshot(
            at, nav, Decimal(0), Decimal(0), nav_broker=nav, broker_cash=nav, positions=rows,
            broker_settled_cash=nav if settled is None else settled,
        ),
        epoch=epoch,
    )  # fmt: skip

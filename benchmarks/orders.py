"""What an order costs before it reaches the gateway, and what the submitter adds to the gateway's own answer time.

The ledger waits for the disk at each commit, the rules are the real ones. Bare means: the same row into a table
without guards, hash chain and review; the same request by httpx, with nothing written before or after it. What the
submitter adds is the time from taking an approved order to its request leaving, without that of the gateway's preview,
and the time from the answer to its commit. The clock is the machine's, as in paper and live: a simulated market's is
asked for over HTTP.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx

from benchmarks.broker import UNLIMITED, Figures
from benchmarks.server import new_database, start_server
from ibkr_assets.adapters.ibkr import pacing_state
from ibkr_assets.adapters.ibkr.client import IbkrBroker
from ibkr_assets.adapters.ibkr.client import broker as connect
from ibkr_assets.adapters.ibkr.parse import order_body
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.adapters.postgres.order_rows import INTENT_FIELDS, intent_values
from ibkr_assets.domain.broker import OrderTicket
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.order import Mode, OrderIntent, OrderState, TimeInForce
from ibkr_assets.execution.departure import hear_departure
from ibkr_assets.execution.prices import Sighting
from ibkr_assets.execution.seat import Seat, SubmitterOptions
from ibkr_assets.execution.submit import submit
from ibkr_assets_tests.execution.contest import SYMBOLS, WIDE, prepare, propose
from ibkr_assets_tests.execution.desk import ACCOUNT, REF, an_intent, approve
from ibkr_assets_tests.execution.furnished import furnished_book
from ibkr_assets_tests.fakes.clock import FixedClock
from ibkr_assets_tests.gateway import RunningGateway, start_gateway

if TYPE_CHECKING:
    from ibkr_assets.ports import Broker

INTENTS = 200
ORDERS = 150
WORKERS = 8
#: A broker's answer over the internet takes about so long; the simulated gateway's comes from the same machine.
_BROKER_S = 0.1
_OPEN = datetime(2012, 10, 2, 14, 0, tzinfo=UTC)
#: The rules of pace are heard, and in nobody's way.
_UNHURRIED = replace(WIDE, max_messages_per_second=10**6, max_messages_per_minute=10**6)
_IBM = Instrument(8314, "IBM", "NYSE")


def run() -> Iterator[Figures]:
    """The way to an approval, then the way to the gateway."""
    with start_server() as server, tempfile.TemporaryDirectory(prefix="ibkr-assets-bench-") as folder:
        pacing_state.tempfile.tempdir = folder  # limits of a gateway of its own
        with closing(Database(new_database(server, "approving"))) as database:
            yield _approving(database)
        with closing(Database(new_database(server, "sending"))) as database:
            yield _sending(database, Path(folder))


def _approving(database: Database) -> Figures:
    """One decision after the other through facts, review and commit; then from several connections at once."""
    prepare(database)
    book, numbers = furnished_book(database), count()
    with database.connect() as connection:
        connection.execute("create table public.bare_intent (like oms.order_intent including all)")

    def ours() -> None:
        assert propose(book, _wish(next(numbers)), WIDE).state is OrderState.APPROVED

    ours_s, bare_s = _in_turn(INTENTS, ours, lambda: _insert_bare(database, _wish(next(numbers))))
    began = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda _: ours(), range(INTENTS)))
    at_once = INTENTS / (time.perf_counter() - began)
    return Figures(
        f"{INTENTS} intents through facts, review and commit, on one account",
        (
            f"one after the other: {ours_s * 1e3:.2f} ms an intent, {1 / ours_s:,.0f}/s",
            f"bare insert of the same row: {bare_s * 1e3:.2f} ms, {1 / bare_s:,.0f}/s",
            f"ours takes {ours_s / bare_s:.2f} x as long as the bare insert",
            f"from {WORKERS} connections at once: {at_once:,.0f}/s",
        ),
    )


def _insert_bare(database: Database, intent: OrderIntent) -> None:
    values = intent_values(intent) | {
        "decision_key": intent.decision_key, "client_order_id": intent.client_order_id("salt"),
        "payload_sha256": intent.payload_sha256, "state": "PROPOSED", "cause": "propose", "created_by": "bench",
    }  # fmt: skip
    names = [*INTENT_FIELDS, *(name for name in values if name not in INTENT_FIELDS)]
    statement = (
        f"insert into public.bare_intent ({', '.join(names)}) "  # noqa: S608 - names of columns
        f"values ({', '.join(f'%({name})s' for name in names)})"
    )
    with database.connect() as connection:
        connection.execute(statement, values)


def _sending(database: Database, folder: Path) -> Figures:
    """An approved order through the submitter's last checks, its two commits and the request between them."""
    with _seat(database, folder) as (untimed, gateway), httpx.Client(base_url=gateway.api_url, trust_env=False) as bare:
        book, numbers = PostgresIntents(database, "default"), count()
        path, calls = f"/iserver/account/{gateway.account}/orders", _TimedCalls(untimed.broker)
        seat = replace(untimed, broker=cast("Any", calls))
        records = iter([_approved(book, number, seat) for number in range(ORDERS + 1)])
        seen = Sighting(seat.broker.quotes([_IBM])[_IBM.conid], seat.clock.now())
        parts: list[tuple[float, ...]] = []

        def ours() -> None:
            approved, sight = next(records), replace(seen, market_at=seat.clock.now())
            began = time.perf_counter()
            denied = hear_departure(seat, approved, sight)
            assert denied is None, denied
            record = submit(seat, approved, sight)
            ended = time.perf_counter()
            assert record.state is OrderState.ACKED, record.reason
            (asked, told), (left, answered) = calls.take("preview"), calls.take("place")
            parts.append((asked - began, told - asked, left - told, answered - left, ended - answered))

        def post() -> None:
            body = {"orders": [_request(seat.account, f"bare-{next(numbers)}")]}
            answer = bare.post(path, json=body).raise_for_status().json()
            assert "order_id" in answer[0], answer

        ours_s, bare_s = _in_turn(ORDERS, ours, post)
    rules, preview, commit, own_post, after = (statistics.median(part) for part in zip(*parts[1:], strict=True))
    added = rules + commit + after
    whole = (
        f"submitter: {ours_s * 1e3:.2f} ms an order: rules {rules * 1e3:.2f}, the gateway's preview "
        f"{preview * 1e3:.2f}, last look and commit {commit * 1e3:.2f}, POST {own_post * 1e3:.2f}, "
        f"answer to commit {after * 1e3:.2f}"
    )
    compared = (
        f"added: {added * 1e3:.2f} ms, so POST and what is added take {(bare_s + added) / bare_s:.2f} x the POST "
        f"alone, and {(_BROKER_S + added) / _BROKER_S:.2f} x one of {_BROKER_S * 1e3:.0f} ms"
    )
    return Figures(
        f"{ORDERS} approved orders to the simulated gateway and its answer into the ledger",
        (whole, f"bare httpx POST of the same order: {bare_s * 1e3:.2f} ms", compared),
    )


class _TimedCalls:
    """A broker whose calls are timed."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._times: dict[str, tuple[float, float]] = {}

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._broker, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            answer = call(*arguments, **options)
            self._times[name] = began, time.perf_counter()
            return answer

        return timed

    def take(self, name: str) -> tuple[float, float]:
        """When the newest call of this name began and ended; there must be one since the last time."""
        return self._times.pop(name)


@contextmanager
def _seat(database: Database, folder: Path) -> Iterator[tuple[Seat, RunningGateway]]:
    """A submitter's place over a gateway with its limits off."""
    with start_gateway(clock_start=_OPEN, pace=UNLIMITED, account=ACCOUNT) as gateway:
        ledger = PostgresLedger(database).of_account(REF)
        prepare(database)
        epoch = ledger.lease.acquire("bench", 600)
        assert epoch is not None
        side = _broker(gateway)
        try:
            assert side.open_session().is_ready
            side.quotes([_IBM])  # the first one only subscribes
            yield Seat(
                account=ACCOUNT, account_ref=REF, mode=Mode.SIM, epoch=epoch, gateway_session=side.session_id(),
                broker=side, ledger=ledger, clock=FixedClock(_OPEN), describe=_describe,
                options=SubmitterOptions(
                    max_order_value_usd=Decimal(10_000), price_collar_fraction=Decimal("0.03"),
                    kill_file=folder / "kill", limits=_UNHURRIED,
                ),
                monotonic=time.monotonic, openings=side.openings(),
            ), gateway  # fmt: skip
        finally:
            side.close()


def _broker(gateway: RunningGateway) -> IbkrBroker:
    return connect(
        gateway.api_url, ca=None, account=ACCOUNT, connect_timeout_s=5, read_timeout_s=20, order_timeout_s=20,
        pace=UNLIMITED,
    )  # fmt: skip


def _approved(book: PostgresIntents, number: int, seat: Seat) -> Any:
    intent = an_intent(
        number, quantity=Decimal(1), limit_price=Decimal("208.00"), reference_price=Decimal("210.00"),
        time_in_force=TimeInForce.DAY, valid_until=_OPEN.replace(hour=19),
    )  # fmt: skip
    return book.propose(intent, approve, now=seat.clock.now(), dagster_run_id=None, created_by="bench")


def _describe(ticket: OrderTicket) -> dict[str, Any]:
    return {"orders": [order_body(ticket) | {"acctId": REF}]}


def _request(account: str, reference: str) -> dict[str, Any]:
    return {
        "acctId": account, "conid": _IBM.conid, "cOID": reference, "orderType": "LMT", "side": "BUY", "quantity": 1,
        "tif": "DAY", "price": 208.0,
    }  # fmt: skip


def _wish(number: int) -> OrderIntent:
    """A decision of a strategy of its own, about one of many instruments."""
    conid, symbol = list(SYMBOLS.items())[number % len(SYMBOLS)]
    return an_intent(number, quantity=Decimal(1), conid=conid, symbol=symbol)


def _in_turn(times: int, ours: Callable[[], None], other: Callable[[], None]) -> tuple[float, float]:
    """Median seconds of each, alternately; the first of each is not counted."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(times + 1):
        for kept, call in zip(seconds, (ours, other), strict=True):
            began = time.perf_counter()
            call()
            if number:
                kept.append(time.perf_counter() - began)
    return statistics.median(seconds[0]), statistics.median(seconds[1])

"""Answers that real gateways gave, where the recordings are at hand: every one is understood."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ibkr_assets.adapters.ibkr import orders, parse, payloads
from ibkr_assets.adapters.ibkr.answers import accept
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.adapters.ibkr.transport import Answer
from ibkr_assets.domain.broker import Acknowledged, Ambiguous, BrokerOrderStatus, CancelRequested, Question
from ibkr_assets.domain.order import Side
from ibkr_assets_tests.adapters.ibkr.raw_server import RawServer, http

FOLDER = Path(__file__).parents[4] / "shared" / "ibkr" / "payloads"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the recordings of real gateways are not here")

#: Each family that the client reads, and the model that must take every recording of it.
KINDS: dict[str, Any] = {
    "auth_status": payloads.AuthStatus,
    "ssodh_init": payloads.AuthStatus,
    "tickle": payloads.Tickle,
    "iserver_accounts": payloads.Accounts,
    "secdef_search": list[payloads.SearchRow],
    "trsrv_stocks": dict[str, list[payloads.Stock]],
    "trsrv_secdef": payloads.Secdefs,
    "contract_rules": payloads.ContractRules,
    "history": payloads.History,
    "snapshot": list[payloads.SnapshotRow],
    "live_orders": payloads.LiveOrders,
    "order_status": payloads.OrderStatus,
    "trades": list[payloads.Trade],
    "ledger": dict[str, payloads.LedgerRow],
    "positions": list[payloads.PagedPosition],
    "positions2": list[payloads.Position],
    "portfolio_accounts": list[payloads.PortfolioAccount],
}
#: Families whose answers are judged, not modelled: what each recording of them means is in a test of its own below.
JUDGED = {"place_order", "reply", "modify_order", "cancel_order"}
#: Calls that the client does not make. A recording of another family must not go unnoticed.
NOT_ASKED_FOR = {
    "suppress", "switch_account", "contract_info", "trsrv_futures", "secdef_strikes", "trading_schedule",
    "md_unsubscribe", "whatif", "allocation", "pnl", "ws_spl", "ws_sld",
}  # fmt: skip
#: Frames of the websocket: `test_stream`.
FRAMES = {"ws_smd", "ws_sor", "ws_system"}
#: Recordings of a family that are one object where the rest are lists.
SINGLE = {"portfolio_meta_ibkr-conduit": payloads.PortfolioAccount}


def recording(name: str) -> Any:
    return _decimal(FOLDER / f"{name}.json")["response"]["body"]


def _decimal(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)


def index() -> dict[str, str]:
    """The family of each recording, by its name."""
    if not FOLDER.is_dir():
        return {}
    files = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))["files"]
    return {entry["file"].removesuffix(".json"): entry["family"] for entry in files}


def as_answer(name: str) -> Answer:
    """A recording as the wire would give it."""
    kept = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["response"]
    return Answer(kept["status"], "application/json;charset=utf-8", json.dumps(kept["body"]).encode())


def test_every_recording_is_of_a_family_that_is_known() -> None:
    assert set(index().values()) <= {*KINDS, *JUDGED, *NOT_ASKED_FOR, *FRAMES}
    assert {name for name in index() if not (FOLDER / f"{name}.json").is_file()} == set()


@pytest.mark.parametrize("name", [name for name, family in index().items() if family in KINDS])
def test_every_recording_is_read_from_its_bytes(name: str) -> None:
    value = accept(as_answer(name), name)
    read = payloads.read(SINGLE.get(name, KINDS[index()[name]]), value, name)
    assert bool(read) == bool(recording(name))  # nothing that was there becomes an empty result


@pytest.mark.parametrize("name", [name for name, family in index().items() if family == "tickle"])
def test_a_recorded_tickle_is_a_ready_session(name: str, server: RawServer, session: Session) -> None:
    server.replies["POST tickle"] = http(as_answer(name).body)
    assert session.tickle().is_ready


@pytest.mark.parametrize("name", [name for name, family in index().items() if family == "history"])
def test_every_recorded_bar_keeps_its_values(name: str) -> None:
    page = payloads.read(payloads.History, accept(as_answer(name), name, is_exact=False), name)
    raw = json.loads(as_answer(name).body)
    assert [[row[key] for key in "tohlcv"] for row in page.data] == [
        [row[key] for key in "tohlcv"] for row in raw["data"]
    ]
    assert page.volumeFactor == raw["volumeFactor"]


def test_a_modification_is_acknowledged_for_the_order_that_was_meant_alone() -> None:
    answer = as_answer("modify_order_ibkr-conduit")
    order_id = str(json.loads(answer.body)[0]["order_id"])
    assert isinstance(orders.judge_modifying(answer, "U1234567", order_id), Acknowledged)
    assert isinstance(orders.judge_modifying(answer, "U1234567", "1"), Ambiguous)


def test_stocks_of_several_symbols_come_with_their_listings() -> None:
    name = "trsrv_stocks_11_symbols_2023_ibind"
    stocks = payloads.read(dict[str, list[payloads.Stock]], recording(name), name)
    assert len(stocks) == 11
    american = {symbol: [c.conid for row in rows for c in row.contracts if c.isUS] for symbol, rows in stocks.items()}
    assert american["AAPL"] == [265598]


def test_a_session_of_2023_without_established_is_ready() -> None:
    for name in ("auth_status_2023_ibind", "auth_status_ibkr-conduit", "ssodh_init_ibkr-conduit"):
        assert parse.session_status(payloads.read(payloads.AuthStatus, recording(name), name)).is_ready


def test_the_order_list_of_2024_is_understood() -> None:
    read = parse.orders_read(
        payloads.read(payloads.LiveOrders, recording("live_orders_gtc_2024_ibind"), "orders"), "DUMMY_ACCOUNT_ID123"
    )
    first = read.orders[0]
    assert first.client_order_id == "240103-SPY-1-BUY-L@457-bxv8"
    assert (first.broker_order_id, first.conid, first.side) == ("1210386759", 756733, Side.BUY)
    assert (first.status, first.quantity, first.filled) == (BrokerOrderStatus.PRE_SUBMITTED, 1, 0)


def test_rows_may_come_without_a_snapshot() -> None:
    payload = payloads.read(payloads.LiveOrders, recording("live_orders_filled_ibkr-conduit"), "orders")
    read = parse.orders_read(payload, "U1234567")
    assert not read.is_snapshot
    assert read.orders[0].status is BrokerOrderStatus.FILLED
    assert read.orders[0].client_order_id is None
    assert parse.orders_read(payload, "U7654321").orders == ()


def test_both_forms_of_an_order_s_status_are_understood() -> None:
    filled = parse.order_status(
        payloads.read(payloads.OrderStatus, recording("order_status_filled_ibkr-conduit"), "status")
    )
    waiting = parse.order_status(
        payloads.read(payloads.OrderStatus, recording("order_status_presubmitted_2024_ibind"), "status")
    )
    assert (filled.status, filled.filled, filled.side) == (BrokerOrderStatus.FILLED, 1, Side.BUY)
    assert (waiting.status, waiting.filled, waiting.quantity) == (BrokerOrderStatus.PRE_SUBMITTED, 0, 1)


def test_positions_of_both_endpoints_are_understood() -> None:
    new = payloads.read(list[payloads.Position], recording("portfolio2_positions_ibkr-conduit"), "positions")
    old = payloads.read(list[payloads.PagedPosition], recording("positions_page0_ibkr-conduit"), "positions")
    spy = parse.position(new[1])
    assert (spy.conid, spy.symbol, spy.quantity) == (756733, "SPY", 44)
    assert spy.average_cost == Decimal("652.4747727272727")
    assert parse.paged_position(old[0]).symbol == "QQQ"


def test_the_ledger_is_understood() -> None:
    entries = payloads.read(dict[str, payloads.LedgerRow], recording("ledger_ibkr-conduit"), "ledger")
    ledger = parse.cash_ledger(entries, None)
    assert (ledger.currency, ledger.cash, ledger.stock_value) == ("USD", Decimal("971869.6"), Decimal("30613.4"))
    assert ledger.as_of == datetime.fromtimestamp(1775169606, UTC)


@pytest.mark.parametrize("name", ["place_order_submitted_ibkr-conduit", "reply_submitted_ibkr-conduit"])
def test_a_submit_is_acknowledged(name: str) -> None:
    body = (FOLDER / f"{name}.json").read_bytes()
    answer = Answer(200, "application/json", json.dumps(json.loads(body)["response"]["body"]).encode())
    judged = orders.judge_placing(answer, "U1234567", "q1-a")
    assert isinstance(judged, Acknowledged)
    assert judged.status == "PreSubmitted"


def test_a_question_is_a_question() -> None:
    body = json.dumps(recording("place_order_question_o354_ibkr-conduit")).encode()
    judged = orders.judge_placing(Answer(200, "application/json;charset=utf-8", body), "U1234567", "q1-a")
    assert isinstance(judged, Question)
    assert judged.reply_id == "test-reply-id-001"
    assert judged.message_ids == ("o354",)
    assert "without market data" in judged.texts[0]


def test_a_cancel_that_was_done_at_once_is_requested() -> None:
    body = json.dumps(recording("cancel_order_conid_minus1_ibkr-conduit")).encode()
    assert orders.judge_cancel(Answer(200, "application/json", body), "U1", "602801486") == CancelRequested()


def test_a_snapshot_becomes_a_quote() -> None:
    row = payloads.read(list[payloads.SnapshotRow], recording("snapshot_SPY_ibkr-conduit"), "snapshot")[0]
    quote = parse.quote(row)
    assert quote is not None
    assert (quote.last, quote.bid, quote.ask) == (Decimal("655.89"), Decimal("655.88"), Decimal("655.90"))
    assert (quote.availability, quote.is_halted) == ("S", False)

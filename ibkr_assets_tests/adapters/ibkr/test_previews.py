"""What the broker says an order would do: read strictly, asked once, and every other answer is an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from ibkr_assets.adapters.ibkr import pacing_state
from ibkr_assets.adapters.ibkr.client import IbkrBroker, broker
from ibkr_assets.adapters.ibkr.previews import fetch_preview
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.domain.broker import MarginMove, OrderPreview, OrderTicket
from ibkr_assets.domain.errors import (
    BrokerRefusal,
    LoginRequired,
    PlatformError,
    ShutOut,
    Unavailable,
    UnreadableAnswer,
)
from ibkr_assets.domain.order import OrderType, Side, TimeInForce
from ibkr_assets_tests.adapters.ibkr.raw_server import ACCOUNT, RawServer, drip, http, reset
from ibkr_assets_tests.gateway import RunningGateway, start_gateway

ASK = f"POST iserver/account/{ACCOUNT}/orders/whatif"
TICKET = OrderTicket(
    ACCOUNT, "q1-abc", 265598, "AAPL", Side.BUY, OrderType.LIMIT, Decimal(5), Decimal("650.00"), TimeInForce.DAY
)
#: As a published client recorded it.
RECORDED: dict[str, Any] = {
    "amount": {"amount": "1 USD (1 Shares)", "commission": "0.01 USD", "total": "1.01 USD"},
    "equity": {"current": "1,006,413", "change": "163", "after": "1,006,576"},
    "initial": {"current": "8,637", "change": "164", "after": "8,801"},
    "maintenance": {"current": "8,637", "change": "-164", "after": "8,473"},
    "warn": "price exceeds...",
    "error": None,
}
READ = OrderPreview(
    Decimal(1_006_576), MarginMove(Decimal(164), Decimal(8_801)), MarginMove(Decimal(-164), Decimal(8_473)),
    Decimal("0.01"), ("price exceeds...",),
)  # fmt: skip


def ask(session: Session, ticket: OrderTicket = TICKET) -> OrderPreview:
    return fetch_preview(session, ticket, 0.5)


def test_the_answer_is_read_to_the_last_digit(server: RawServer, session: Session) -> None:
    server.replies[ASK] = http(RECORDED)
    assert ask(session) == READ


def test_the_question_carries_the_whole_order_but_not_its_client_order_id(server: RawServer, session: Session) -> None:
    server.replies[ASK] = http(RECORDED)
    ask(session)
    assert server.requests[-1].json == {
        "orders": [
            {
                "acctId": ACCOUNT, "conid": 265598, "secType": "265598:STK", "orderType": "LMT", "side": "BUY",
                "tif": "DAY", "quantity": 5, "outsideRTH": False, "price": 650,
            }
        ]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "warnings"),
    [
        ({"warn": None}, ()), ({"warn": "a", "warns": ["a", "b"]}, ("a", "b")), ({"warns": []}, ("price exceeds...",)),
        ({"error": "", "errors": [], "warn": "on DU7654321"}, ("on <account>",)),
    ],
)  # fmt: skip
def test_warnings_are_kept_and_none_is_named_twice(
    server: RawServer, session: Session, changes: dict[str, Any], warnings: tuple[str, ...]
) -> None:
    server.replies[ASK] = http(RECORDED | changes)
    assert ask(session) == replace(READ, warnings=warnings)


QUESTION = [{"id": "ask-1", "message": ["without market data"], "isSuppressed": False, "messageIds": ["o354"]}]
DECLINE = "POST iserver/reply/ask-1"


def test_a_question_instead_of_an_answer_is_declined_and_none_is_left_open(server: RawServer, session: Session) -> None:
    server.replies[ASK] = http(QUESTION)
    server.replies[DECLINE] = http([QUESTION[0] | {"id": "ask-2"}])
    server.replies["POST iserver/reply/ask-2"] = http({"error": "declined"})
    with pytest.raises(BrokerRefusal, match=r"asked o354 instead of answering, and was told no: without market data"):
        ask(session)
    assert [(r.path.rpartition("/")[2], r.json) for r in server.requests[-2:]] == [
        ("ask-1", {"confirmed": False}), ("ask-2", {"confirmed": False}),
    ]  # fmt: skip


def test_a_question_that_cannot_be_declined_refuses_all_the_same_and_says_so(
    server: RawServer, session: Session
) -> None:
    server.replies[ASK] = http(QUESTION)
    server.replies[DECLINE] = http(b"", status=503)
    with pytest.raises(BrokerRefusal, match=r"whether it took the no is not known \(.*503"):
        ask(session)


REFUSED = {"amount": None, "equity": None, "initial": None, "maintenance": None}


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (http(RECORDED | {"error": "no margin"}), BrokerRefusal, "no margin"),
        (http(RECORDED | {"errors": ["no margin", "none"]}), BrokerRefusal, "no margin / none"),
        (http(RECORDED | {"error": {"code": 5}}), BrokerRefusal, "code"),
        (http(RECORDED | {"errors": "no margin"}), BrokerRefusal, "no margin"),
        (http({"error": "no margin"}, status=400), BrokerRefusal, "no margin"),
        (http({"error": "broken"}, status=500), BrokerRefusal, "broken"),
        (http(b"<h1>bad gateway</h1>", status=502, kind="text/html"), BrokerRefusal, "bad gateway"),
        (http(b"", status=503), BrokerRefusal, "no reason"),
        (http({}, status=429), ShutOut, "429"),
        (http(b"", status=401), LoginRequired, "log in"),
        (http(b"<html>login</html>", kind="text/html"), LoginRequired, "log in"),
        (http({"error": "Please query /accounts first"}, status=400), Unavailable, "session is away"),
        (http({"error": "no bridge"}), Unavailable, "session is away"),
        (http(REFUSED), UnreadableAnswer, "amount"),
        (http(RECORDED | {"equity": {"current": "1", "change": "1"}}), UnreadableAnswer, "equity.after"),
        (http(RECORDED | {"equity": {"change": "1", "after": ""}}), UnreadableAnswer, "equity.after"),
        (http(RECORDED | {"initial": {"change": "1", "after": "NaN"}}), UnreadableAnswer, "initial.after"),
        (http(RECORDED | {"maintenance": "8,801"}), UnreadableAnswer, "maintenance"),
        (http(RECORDED | {"amount": {"commission": "1 EUR"}}), UnreadableAnswer, "amount.commission"),
        (http(RECORDED | {"amount": {"commission": 1}}), UnreadableAnswer, "amount.commission"),
        (http(RECORDED | {"warns": [5]}), UnreadableAnswer, "warns"),
        (http([{"message": ["sure?"], "messageIds": ["o163"]}]), UnreadableAnswer, "a list"),
        (http(b"{"), UnreadableAnswer, "not JSON"),
        (http(json.dumps(RECORDED).encode(), kind="text/plain"), UnreadableAnswer, "content type"),
        (http(json.dumps(RECORDED).encode(), length=9_999), UnreadableAnswer, "no whole answer"),
        (reset, UnreadableAnswer, "no whole answer"),
        (drip(b"HTTP/1.1 200 X\r\n"), UnreadableAnswer, "no whole answer"),
    ],
)
def test_every_other_answer_is_an_error_and_nothing_is_asked_twice(
    server: RawServer, session: Session, reply: Any, kind: type[PlatformError], said: str
) -> None:
    server.replies[ASK] = reply
    with pytest.raises(PlatformError, match=said) as caught:
        ask(session)
    assert type(caught.value) is kind
    assert server.count(ASK) == 1


def test_what_could_not_be_asked_is_told_apart_from_an_answer(server: RawServer, session: Session) -> None:
    server.close()
    with pytest.raises(Unavailable, match="not sent"):
        ask(session)


def test_another_account_is_never_asked_about(server: RawServer, session: Session) -> None:
    with pytest.raises(ValueError, match="account"):
        ask(session, replace(TICKET, account="DU9999999"))
    assert server.count(ASK) == 0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pacing_state.tempfile, "tempdir", str(tmp_path_factory.mktemp("pacing")))
        with start_gateway(clock_start="2012-10-01T14:00:00+00:00", pace=1000.0) as running:
            yield running


@pytest.fixture
def side(gateway: RunningGateway) -> Iterator[IbkrBroker]:
    made = broker(
        gateway.api_url, ca=None, account=gateway.account, connect_timeout_s=2, read_timeout_s=5, order_timeout_s=1,
        pace=1000.0,
    )  # fmt: skip
    made.open_session()
    yield made
    made.close()


def test_a_gateway_says_what_an_order_would_do_and_has_no_order_after_it(
    gateway: RunningGateway, side: IbkrBroker
) -> None:
    ticket = replace(TICKET, account=gateway.account)
    said = side.preview(ticket)
    # Nothing is held, the account has 100,000 USD: one dollar of commission, and 5 x 650 USD as margin.
    assert (said.equity_after, said.commission_usd) == (Decimal(99_999), Decimal(1))
    assert said.initial_margin == MarginMove(Decimal(3_250), Decimal(3_250))
    assert gateway.ledger("accept") == []
    assert side.live_orders().orders == ()


def test_a_gateway_that_would_refuse_the_order_refuses_the_preview(gateway: RunningGateway, side: IbkrBroker) -> None:
    with pytest.raises(BrokerRefusal, match="price"):
        side.preview(replace(TICKET, account=gateway.account, limit_price=Decimal("650.001")))


@pytest.mark.parametrize(
    ("fault", "spec", "kind", "said"),
    [
        ("F25", {}, UnreadableAnswer, "no whole answer"),
        ("F6", {"cut_at": 20}, UnreadableAnswer, "no whole answer"),
        ("F9", {}, UnreadableAnswer, "content type"),
        ("F8", {}, LoginRequired, "log in"),
    ],
)
def test_a_gateway_in_trouble_gives_no_preview(
    gateway: RunningGateway, side: IbkrBroker, fault: str, spec: dict[str, Any], kind: type[PlatformError], said: str
) -> None:
    gateway.arm_fault(fault, routes=["whatif"], **spec)
    try:
        with pytest.raises(kind, match=said):
            side.preview(replace(TICKET, account=gateway.account))
    finally:
        gateway.disarm_fault(fault)
    assert side.preview(replace(TICKET, account=gateway.account)).commission_usd == 1

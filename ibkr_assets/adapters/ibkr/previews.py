"""What an order would do to the account, asked of the broker before the order is sent.

What goes here: the one call, and its answer read strictly. What does not: whether the effects are bearable
(`risk.cash`). It is a POST, so it is sent once and never again, though it changes nothing. A question instead of an
answer is declined at once: one that is left open would meet the next order.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict

from ibkr_assets.adapters.ibkr import parse, payloads
from ibkr_assets.adapters.ibkr.answers import LOG_IN, error_text, is_about_session, is_login_page
from ibkr_assets.adapters.ibkr.forms import is_absent, number
from ibkr_assets.adapters.ibkr.orders import OrderDesk, judge_placing
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.adapters.ibkr.transport import NoAnswer, NothingSent, redact, segment
from ibkr_assets.domain.broker import MarginMove, OrderPreview, OrderTicket, PlaceAnswer, Question, Rejected
from ibkr_assets.domain.errors import BrokerRefusal, LoginRequired, ShutOut, Unavailable, UnreadableAnswer

_WHAT = "preview"
#: Questions in a row that are declined; a gateway that asks on is left with the last one.
_MOST_QUESTIONS = 5
_MONEY = re.compile(r"(?P<number>\S+) (?P<currency>[A-Z]{3})", re.ASCII)


def _fee(value: Any) -> Decimal | None:
    """A sum with its currency behind it, "0.01 USD"; None where there is nothing."""
    if is_absent(value):
        return None
    match = _MONEY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match["currency"] != "USD":
        raise ValueError(f"not a sum in USD: {str(value)[:40]!r}")
    return number(match["number"])


class _Payload(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)


class _Amount(_Payload):
    commission: Annotated[Decimal | None, BeforeValidator(_fee)] = None


class _Moves(_Payload):
    change: payloads.Number
    after: payloads.Number


class _Preview(_Payload):
    """The answer; `warns` and `errors` are not in IBKR's document but on the wire."""

    amount: _Amount
    equity: _Moves
    initial: _Moves
    maintenance: _Moves
    warn: payloads.Text = None
    warns: list[payloads.Words] | None = None


def fetch_preview(session: Session, ticket: OrderTicket, timeout_s: float) -> OrderPreview:
    """See `ports.Broker.preview`. The client order id stays at home: no order may be registered under it yet."""
    if ticket.account != session.account:
        raise ValueError("account: the ticket's is not the pinned one")
    body = parse.order_body(ticket)
    del body["cOID"]
    session.prime()
    path = f"iserver/account/{segment(ticket.account)}/orders/whatif"
    try:
        answer = session.transport.request("POST", path, body={"orders": [body]}, timeout_s=timeout_s)
    except NothingSent:
        raise
    except NoAnswer as error:
        raise UnreadableAnswer(f"{_WHAT}: {redact(str(error))}") from None
    if answer.status == httpx.codes.TOO_MANY_REQUESTS:
        raise ShutOut(f"{_WHAT}: the gateway answered 429, too many requests; nothing is sent now")
    if is_login_page(answer):
        raise LoginRequired(f"{_WHAT}: the gateway answered as if nobody were logged in; {LOG_IN}")
    if answer.status != httpx.codes.OK:
        text = error_text(answer)
        if is_about_session(text):
            raise Unavailable(f"{_WHAT}: the brokerage session is away: {text}")
        raise BrokerRefusal(text or "no reason given", status=answer.status)
    if not answer.is_json:
        raise UnreadableAnswer(f"{_WHAT}: content type {answer.content_type[:60] or 'missing'}", status=answer.status)
    asked = judge_placing(answer, ticket.account, None)
    if isinstance(asked, Question):
        raise BrokerRefusal(_decline(OrderDesk(session, ticket.account, timeout_s), asked), status=answer.status)
    value = answer.parsed()
    if not isinstance(value, dict):
        raise UnreadableAnswer(f"{_WHAT}: a {type(value).__name__} instead of an object", status=answer.status)
    _require_no_refusal(value, answer.status)
    return _parse(payloads.read(_Preview, value, _WHAT))


def _require_no_refusal(value: dict[str, Any], status: int) -> None:
    refusals = _texts(value, "error", "errors")
    if refusals:
        text = redact(" / ".join(refusals)[:300])
        if is_about_session(text):
            raise Unavailable(f"{_WHAT}: the brokerage session is away: {text}")
        raise BrokerRefusal(text, status=status)


def _decline(desk: OrderDesk, question: Question) -> str:
    """Say no to what was asked instead of an answer, and to what is asked then. Returns what happened, in words."""
    answer: PlaceAnswer = question
    said = f"the broker asked {', '.join(question.message_ids) or 'something'} instead of answering"
    for _ in range(_MOST_QUESTIONS):
        if not isinstance(answer, Question):
            break
        answer = desk.reply(answer.reply_id, is_confirmed=False)
    if isinstance(answer, Rejected):
        return f"{said}, and was told no: {' '.join(question.texts)}"
    return f"{said}, and whether it took the no is not known ({answer}): {' '.join(question.texts)}"


def _texts(value: dict[str, Any], single: str, several: str) -> list[str]:
    """What is under both keys, once each and in order. Anything there that is no text is shown as it is."""
    listed = value.get(several)
    found = [value.get(single), *(listed if isinstance(listed, list) else [listed])]
    return list(dict.fromkeys(str(text) for text in found if not is_absent(text)))


def _parse(payload: _Preview) -> OrderPreview:
    warnings = [text for text in (payload.warn, *(payload.warns or ())) if text is not None]
    return OrderPreview(
        equity_after=payload.equity.after,
        initial_margin=MarginMove(payload.initial.change, payload.initial.after),
        maintenance_margin=MarginMove(payload.maintenance.change, payload.maintenance.after),
        commission_usd=payload.amount.commission,
        warnings=tuple(redact(text) for text in dict.fromkeys(warnings)),
    )

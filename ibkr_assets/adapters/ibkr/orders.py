"""Orders out, and every shape of answer told apart. Nothing here is ever sent twice.

What goes here: place, modify, reply, cancel, and what their answers prove. What to do about an answer goes to
`execution`. An answer that does not prove one of the known outcomes is `Ambiguous`; silence is, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from ibkr_assets.adapters.ibkr import parse
from ibkr_assets.adapters.ibkr.answers import is_about_session
from ibkr_assets.adapters.ibkr.forms import whole
from ibkr_assets.adapters.ibkr.pacing import PacedOut
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.adapters.ibkr.transport import Answer, NoAnswer, NothingSent, redact, segment
from ibkr_assets.domain.broker import (
    Acknowledged,
    Ambiguous,
    CancelAnswer,
    CancelRequested,
    DuplicateRefused,
    NotSent,
    OrderTicket,
    PlaceAnswer,
    Question,
    Rejected,
)
from ibkr_assets.domain.errors import PlatformError, UnreadableAnswer

T = TypeVar("T")

CANCEL_TAKEN = "request was submitted"
_DUPLICATE = re.compile(r"already registered", re.IGNORECASE)
#: Words of a refusal that do not prove that no order exists: of a gateway in trouble, or of a question that is gone
#: (whose order has been seen to go live afterwards).
_PROVES_NOTHING = re.compile(
    r"reply id not found|service unavailable|timed? ?out|failed to process|internal server error", re.IGNORECASE
)
_REFUSED_STATES = frozenset({"failed", "inactive", "rejected"})
_MAX_TEXT = 1000


class OrderDesk:
    """Places, answers and cancels on one account. The caller keeps one question round open at a time."""

    def __init__(self, session: Session, account: str, order_timeout_s: float) -> None:
        self._session = session
        self._account = account
        self._timeout_s = order_timeout_s

    def place(self, ticket: OrderTicket) -> PlaceAnswer:
        """See `ports.Broker.place`. Raises ValueError for a ticket that must not leave (`parse.order_body`)."""
        if ticket.account != self._account:
            raise ValueError("account: the ticket's is not the pinned one")
        body = {"orders": [parse.order_body(ticket)]}
        path = f"iserver/account/{segment(self._account)}/orders"
        return self._send(
            "POST", path, body, lambda answer: judge_placing(answer, self._account, ticket.client_order_id)
        )

    def reply(self, reply_id: str, *, is_confirmed: bool) -> PlaceAnswer:
        """See `ports.Broker.reply`. Raises ValueError for an empty id."""
        if not reply_id.strip():
            raise ValueError("reply_id: empty")
        path = f"iserver/reply/{segment(reply_id)}"
        return self._send("POST", path, {"confirmed": is_confirmed}, lambda a: judge_placing(a, self._account, None))

    def modify(self, broker_order_id: str, ticket: OrderTicket) -> PlaceAnswer:
        """See `ports.Broker.modify`. Raises ValueError as `place` and `cancel`.

        The bare order with every field, as IBKR wants it: no list, no difference, and no client order id, which
        belongs to the order already and must not be registered twice.
        """
        if ticket.account != self._account:
            raise ValueError("account: the ticket's is not the pinned one")
        body = parse.order_body(ticket)
        del body["cOID"]
        path = self._order_path(broker_order_id)
        return self._send("POST", path, body, lambda a: judge_modifying(a, self._account, broker_order_id))

    def cancel(self, broker_order_id: str) -> CancelAnswer:
        """See `ports.Broker.cancel`. Raises ValueError for anything but a positive number: -1 would cancel all."""
        path = self._order_path(broker_order_id)
        return self._send("DELETE", path, None, lambda answer: judge_cancel(answer, self._account, broker_order_id))

    def _order_path(self, broker_order_id: str) -> str:
        if not re.fullmatch(r"[1-9][0-9]{0,18}", broker_order_id):
            raise ValueError(f"broker_order_id: a positive number, got {broker_order_id!r}")
        return f"iserver/account/{segment(self._account)}/order/{broker_order_id}"

    def _send(self, method: str, path: str, body: Any, judge: Callable[[Answer], T]) -> T | NotSent | Ambiguous:
        try:
            self._session.prime()  # without it the gateway refuses orders of a new session; done once
        except PlatformError as error:
            return NotSent(f"the accounts could not be read first: {redact(str(error))}")
        try:
            answer = self._session.transport.request(method, path, body=body, timeout_s=self._timeout_s)
        except (NothingSent, PacedOut) as error:
            return NotSent(redact(str(error)))
        except NoAnswer as error:
            return Ambiguous(redact(str(error)), None)
        except UnreadableAnswer as error:
            return Ambiguous(redact(str(error)), error.status)
        return judge(answer)


def judge_placing(answer: Answer, account: str, client_order_id: str | None) -> PlaceAnswer:
    """What an answer to a placement or reply proves. `client_order_id` is None for a reply, which names none."""
    value = _proof(answer)
    if isinstance(value, Ambiguous):
        return value
    if isinstance(value, dict):
        if "orderId" in value and "reqId" in value and isinstance(value.get("text"), str):
            return Rejected(_words(value["text"]), answer.status)  # IBKR's advanced order reject
        return _refusal(value, answer)
    if answer.status != httpx.codes.OK or not isinstance(value, list):
        return _unknown_shape(answer)
    if len(value) != 1 or not isinstance(value[0], dict):
        return Ambiguous(f"a list of {len(value)} where one order was sent", answer.status)
    row: dict[str, Any] = value[0]
    if "order_id" in row:
        return _order_row(row, answer, account, client_order_id)
    return _question(row) or _unknown_shape(answer)


def judge_modifying(answer: Answer, account: str, broker_order_id: str) -> PlaceAnswer:
    """What an answer to a modification proves. The order it names must be the one that was meant."""
    judged = judge_placing(answer, account, None)
    if isinstance(judged, Acknowledged) and judged.broker_order_id != broker_order_id:
        return Ambiguous("a modification of another order was answered", answer.status)
    return judged


def judge_cancel(answer: Answer, account: str, broker_order_id: str) -> CancelAnswer:
    """What an answer to a cancel proves. Even a good one promises nothing: the order may still fill."""
    value = _proof(answer)
    if isinstance(value, Ambiguous):
        return value
    if not isinstance(value, dict):
        return _unknown_shape(answer)
    words = value.get("msg")
    if answer.status == httpx.codes.OK and isinstance(words, str) and words.strip().lower() == CANCEL_TAKEN:
        if str(value.get("order_id", broker_order_id)) != broker_order_id:
            return Ambiguous("a cancel of another order was answered", answer.status)
        if value.get("account") not in (None, "", account):
            return Ambiguous("a cancel on another account was answered", answer.status, is_other_account=True)
        return CancelRequested()
    refusal = _refusal(value, answer)
    return Ambiguous(refusal.text, answer.status) if isinstance(refusal, DuplicateRefused) else refusal


def _proof(answer: Answer) -> Any:
    """The parsed body of an answer that can prove something: JSON that says it is JSON, with status 200 or 400."""
    if answer.status not in (httpx.codes.OK, httpx.codes.BAD_REQUEST):
        return Ambiguous(f"status {answer.status}", answer.status)
    if not answer.is_json:
        return Ambiguous(f"content type {answer.content_type[:60] or 'missing'}", answer.status)
    try:
        return answer.parsed()
    except UnreadableAnswer as error:
        return Ambiguous(error.text, answer.status)


def _refusal(value: dict[str, Any], answer: Answer) -> Rejected | DuplicateRefused | Ambiguous:
    words = value.get("error")
    if not isinstance(words, str) or not words.strip() or "order_id" in value:
        return _unknown_shape(answer)
    text = _words(words)
    if _DUPLICATE.search(text):
        return DuplicateRefused(text, answer.status)
    status = value.get("statusCode", answer.status)
    if status not in (200, 400) or _PROVES_NOTHING.search(text) or is_about_session(text):
        return Ambiguous(text, answer.status)
    return Rejected(text, answer.status)


def _order_row(row: dict[str, Any], answer: Answer, account: str, client_order_id: str | None) -> PlaceAnswer:
    try:
        order_id = whole(row["order_id"])
    except ValueError as error:
        return Ambiguous(f"order_id: {error}", answer.status)
    state = row.get("order_status")
    if order_id == -1 or (isinstance(state, str) and state.strip().lower() in _REFUSED_STATES):
        words = [row.get(key) for key in ("text", "warning_message", "error", "order_status")]
        return Rejected(_words(next((w for w in words if isinstance(w, str) and w), "no reason given")), answer.status)
    if order_id <= 0 or not isinstance(state, str) or not state or row.get("error"):
        return _unknown_shape(answer)
    if any(row.get(key) not in (None, "", account) for key in ("account", "acct", "acctId")):
        return Ambiguous("an order on another account was answered", answer.status, is_other_account=True)
    if client_order_id is not None and row.get("local_order_id") not in (None, "", client_order_id):
        return Ambiguous("an order with another client order id was answered", answer.status)
    return Acknowledged(str(order_id), _words(state))


def _question(row: dict[str, Any]) -> Question | None:
    reply_id, texts, message_ids = row.get("id"), row.get("message"), row.get("messageIds") or []
    if not isinstance(reply_id, str) or not reply_id.strip() or not reply_id.isprintable():
        return None
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        return None
    if not isinstance(message_ids, list) or not all(isinstance(name, str) for name in message_ids):
        return None
    return Question(reply_id, tuple(_words(name) for name in message_ids), tuple(_words(text) for text in texts))


def _unknown_shape(answer: Answer) -> Ambiguous:
    return Ambiguous("an answer of a shape that is not known", answer.status)


def _words(text: str) -> str:
    return redact(text.strip()[:_MAX_TEXT])

"""Faults of the answer to an order: lost, late, cut, wrong in form, or saying what is not so.

What lists of orders and executions show goes to `order_lists`, what happens to an order at the venue to
`order_events`; questions are in `order_questions`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from ibkr_assets.simulator.answers import RESET, Answer, Delivery, refusal
from ibkr_assets.simulator.faults.fault import Fault, Kind, Situation
from ibkr_assets.simulator.faults.parameters import flag, number, text, whole, word
from ibkr_assets.simulator.faults.requests import orders_of, ticket_of
from ibkr_assets.simulator.records import Record

PLACING = frozenset({"submit", "reply", "modify"})
_SUBMIT, _REPLY = frozenset({"submit"}), frozenset({"reply"})
_LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Login</title></head><body><form method='post'></form></body></html>"
_EMPTY: dict[str, Answer] = {
    "empty": Answer(b""),
    "204": Answer(b"", 204, delivery=Delivery(has_length=False)),
    "null": Answer(b"null"),
    "list": Answer(b"[]"),
    "object": Answer(b"{}"),
}
_MALFORMED = {
    "cut": b'[{"order_id":"1"',
    "nan": b'[{"order_id":NaN,"order_status":"Submitted"}]',
    "duplicate_keys": b'[{"order_id":"1","order_id":"2","order_status":"Submitted"}]',
    "latin1": '[{"order_id":"1","order_status":"angenommen für später"}]'.encode("latin-1"),
}


def _reset(_: Situation) -> Answer:
    return Answer(delivery=RESET)


def _arrives_late(situation: Situation) -> Answer:
    now = situation.gateway.venue.now
    due_at = now + timedelta(seconds=situation.options["late_s"])
    situation.gateway.late.send(due_at, ticket_of(situation))
    return Answer(delivery=RESET)


def _as_it_is(situation: Situation) -> Answer:
    return situation.handled


def _time_out(_: Situation) -> Answer:
    body = {"error": "Service Unavailable", "statusCode": 503}
    return Answer(body, 503, headers={"x-response-time": "10000ms"})


def _truncated(situation: Situation) -> Answer:
    content = situation.handled.content
    cut_at = situation.options["cut_at"]
    delivery = Delivery(
        cut_at=len(content) // 2 if cut_at is None else min(cut_at, len(content) - 1),
        is_reset=situation.options["ending"] == "reset",
    )
    return replace(situation.handled, body=content, delivery=delivery)


def _malformed(situation: Situation) -> Answer:
    form = situation.options["form"]
    body = b"\xef\xbb\xbf" + situation.handled.content if form == "bom" else _MALFORMED[form]
    return replace(situation.handled, body=body)


def _page(situation: Situation) -> Answer:
    if situation.options["form"] == "redirect":
        return Answer(b"", 302, "text/html", {"location": "/sso/Login?forwardTo=22&RL=1"})
    return Answer(_LOGIN_PAGE, media="text/html")


def _wrong_type(situation: Situation) -> Answer:
    if situation.options["form"] == "text_as_json":
        return replace(situation.handled, body=b"order was received")
    return replace(situation.handled, body=situation.handled.content, media="text/plain")


def _empty(situation: Situation) -> Answer:
    return _EMPTY[situation.options["form"]]


def _failed(situation: Situation) -> Answer:
    row = {
        "order_id": -1, "order_status": "Failed", "text": situation.options["text"],
        "warning_message": None, "encrypt_message": "1",
    }  # fmt: skip
    return Answer([row])


def _already_registered(situation: Situation) -> Answer:
    accepted = situation.accepted
    coid = accepted.coid if accepted is not None else orders_of(situation)[0].get("cOID")
    return refusal(400, f"Order couldn't be submitted: Local order ID={coid} is already registered.")


def _forgets(situation: Situation) -> Answer:
    gateway = situation.gateway
    gateway.venue.record(Record("forget", gateway.venue.now, account=gateway.options.account))
    if situation.options["restarts"]:
        gateway.session.restart()
    return Answer(delivery=RESET)


def _reply_lost(situation: Situation) -> Answer:
    if situation.options["form"] == "unavailable":
        return refusal(503, "Service Unavailable")
    return refusal(400, f"reply id not found: '{situation.path['reply_id']}'")


def _refused(situation: Situation) -> Answer:
    return Answer({"error": situation.options["text"]})


def _is_order_row(situation: Situation) -> bool:
    body: Any = situation.handled.body
    return isinstance(body, list) and bool(body) and isinstance(body[0], dict) and "order_id" in body[0]


FAULTS = (
    Fault("F1", "answer dropped after the order was accepted", Kind.AFTER, PLACING, _reset),
    Fault("F2", "request dropped before it was accepted", Kind.INSTEAD, PLACING, _reset),
    Fault(
        "F3", "accepted late, after the connection was lost", Kind.INSTEAD, _SUBMIT, _arrives_late,
        {"late_s": number(30.0, most=60.0)},
    ),
    Fault("F4", "slow answer", Kind.ALTER, PLACING, _as_it_is, delay_s=16.0),
    Fault("F5", "time-out of the gateway", Kind.INSTEAD, PLACING, _time_out, delay_s=10.0),
    Fault(
        "F6", "body cut off", Kind.ALTER, PLACING, _truncated,
        {"cut_at": whole(None), "ending": word("end", "end", "reset")},
    ),
    Fault(
        "F7", "malformed JSON", Kind.ALTER, PLACING, _malformed,
        {"form": word("cut", *_MALFORMED, "bom")}, _is_order_row,
    ),
    Fault("F8", "login page", Kind.INSTEAD, None, _page, {"form": word("page", "page", "redirect")}),
    Fault(
        "F9", "wrong content type", Kind.ALTER, PLACING, _wrong_type,
        {"form": word("json_as_text", "json_as_text", "text_as_json")},
    ),
    Fault("F10", "empty answer", Kind.INSTEAD, PLACING, _empty, {"form": word("empty", *_EMPTY)}),
    Fault(
        "F11", "failure in the shape of a success", Kind.INSTEAD, _SUBMIT, _failed,
        {"text": text("Order could not be placed")},
    ),
    Fault("F12", "duplicate refused", Kind.AFTER, PLACING, _already_registered),
    Fault(
        "F13", "gateway forgets the cOIDs it has seen", Kind.AFTER, PLACING, _forgets, {"restarts": flag(default=True)}
    ),
    Fault(
        "F15", "reply not found, or unavailable", Kind.INSTEAD, _REPLY, _reply_lost,
        {"form": word("not_found", "not_found", "unavailable")},
    ),
    Fault(
        "F19", "rejected inside a 200", Kind.INSTEAD, _SUBMIT, _refused,
        {"text": text("We cannot accept an order at the limit price you selected.")},
    ),
)  # fmt: skip

"""Faults of placing and following orders.

Faults of sessions, of data and of the connection are in `sessions`, `data` and `transport`.
"""

from __future__ import annotations

from ibkr_assets.simulator.answers import RESET, Answer
from ibkr_assets.simulator.faults.fault import Fault, Kind, Situation

PLACING = frozenset({"submit", "reply", "modify"})
_LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Login</title></head><body><form method='post'></form></body></html>"


def _reset(_: Situation) -> Answer:
    return Answer(delivery=RESET)


def _time_out(_: Situation) -> Answer:
    body = {"error": "Service Unavailable", "statusCode": 503}
    return Answer(body, 503, headers={"x-response-time": "10000ms"})


def _login_page(_: Situation) -> Answer:
    return Answer(_LOGIN_PAGE, media="text/html")


def _nothing(_: Situation) -> Answer:
    return Answer(b"")


def _no_orders(_: Situation) -> Answer:
    return Answer({"orders": [], "snapshot": False})


def _no_trades(_: Situation) -> Answer:
    return Answer([])


FAULTS = (
    Fault("F1", "answer dropped after the order was accepted", Kind.AFTER, PLACING, _reset),
    Fault("F2", "request dropped before it was accepted", Kind.INSTEAD, PLACING, _reset),
    Fault("F5", "time-out of the gateway", Kind.INSTEAD, PLACING, _time_out, delay_s=10.0),
    Fault("F8", "HTML page", Kind.INSTEAD, None, _login_page),
    Fault("F10", "empty answer", Kind.INSTEAD, PLACING, _nothing),
    Fault("F28", "order list empty though there are orders", Kind.INSTEAD, frozenset({"orders"}), _no_orders),
    Fault("F30", "list of trades empty though there are trades", Kind.INSTEAD, frozenset({"trades"}), _no_trades),
)

"""The admin port: the market clock, the ledger, the wire log, faults, sessions, and what people do at the broker.

Loopback only and with a token, never on the API port; `GET /clock` alone needs none. Nothing here is IBKR's.
"""

from __future__ import annotations

import hmac
from datetime import timedelta
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ibkr_assets.simulator.clock import BackwardsInTime
from ibkr_assets.simulator.face.admin_faults import FaultDesk
from ibkr_assets.simulator.face.admin_fields import check_fields, read_moment, read_number, read_positive
from ibkr_assets.simulator.face.admin_sessions import SESSION_ROUTES
from ibkr_assets.simulator.face.admin_venue import read_venue, set_venue
from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call, Needs, Routes
from ibkr_assets.simulator.faults.board import FaultBoard
from ibkr_assets.simulator.faults.fault import UnknownFault
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.venue_order import VenueOrder


class AdminShell:
    """The ASGI application of the admin port."""

    def __init__(self, gateway: Gateway, faults: FaultBoard) -> None:
        self._gateway = gateway
        self._routes = admin_routes(faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:  # nobody is there to be answered, and half a request is none
            return
        answer = self._answer(request, body)
        await Response(answer.content, answer.status, media_type=answer.media)(scope, receive, send)

    def _answer(self, request: Request, body: bytes) -> Answer:
        path = request.url.path
        if path != "/clock" and not self._is_admin(request):
            return Answer({"error": "the admin token is missing or wrong"}, 401)
        found = self._routes.find(request.method, path)
        if isinstance(found, int):
            return Answer({"error": "no such call"}, found)
        name, handler, _, params = found
        call = Call(self._gateway, name, params, dict(request.query_params), body, 0)
        try:
            self._gateway.tick()
            return handler(call)
        except (BadRequest, UnknownFault) as error:
            return Answer({"error": str(error)}, 400)
        except BackwardsInTime as error:
            return Answer({"error": str(error)}, 409)
        finally:
            self._gateway.ledger.flush()

    def _is_admin(self, request: Request) -> bool:
        given = request.headers.get("x-admin-token") or request.headers.get("authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), self._gateway.options.admin_token.encode())


def read_clock(call: Call) -> Answer:
    """`{"now", "speed"}`; `now` is the market clock of everything that asks `IBKR_ASSETS_CLOCK_URL`."""
    gateway = call.gateway
    return Answer({"now": gateway.venue.now.isoformat(), "speed": gateway.clock.speed})


def move_clock(call: Call) -> Answer:
    """`set` to an instant, `step_s` seconds on, or run at `speed`; what is passed happens, in order."""
    gateway, body = call.gateway, call.json_object()
    check_fields(body, {"set", "step_s", "speed"})
    if "set" in body:
        gateway.set_clock(read_moment(body["set"]))
    if "step_s" in body:
        gateway.set_clock(gateway.venue.now + timedelta(seconds=float(read_number(body, "step_s"))))
    if "speed" in body:
        speed = float(read_number(body, "speed"))
        if speed < 0:
            raise BadRequest(f"speed: must not be negative, got {speed}")
        gateway.clock.run(speed, gateway.mono())
    return read_clock(call)


def read_ledger(call: Call) -> Answer:
    """The public rows as a list; with `all=true` also the rows that rebuild the state, each with its detail."""
    ledger = call.gateway.ledger
    return Answer(ledger.all_rows() if call.flag("all") else ledger.public_rows())


def read_wirelog(call: Call) -> Answer:
    """The newest requests and answers, oldest first."""
    return Answer(call.gateway.wirelog.rows())


def fill(call: Call) -> Answer:
    """An execution by hand: of a live order (`order_id` or `coid`), or without one (`conid`, `side`).

    `price` defaults to the newest one; `quantity` to what is left of the order.
    """
    venue, body = call.gateway.venue, call.json_object()
    check_fields(body, {"order_id", "coid", "conid", "side", "quantity", "price"})
    order = _find_order(call, body)
    if order is None and ("order_id" in body or "coid" in body):
        raise BadRequest(f"order_id, coid: no such order: {body.get('order_id', body.get('coid'))}")
    conid = order.conid if order else _known_conid(call, body)
    side = order.side if order else body.get("side")
    if side not in ("BUY", "SELL"):
        raise BadRequest(f"side: must be BUY or SELL, got {side!r}")
    quantity = order.remaining if order and "quantity" not in body else read_positive(body, "quantity")
    price = read_positive(body, "price") if "price" in body else venue.last_price(conid)
    execution = venue.execute_by_hand(conid, side, quantity, price, order)
    return Answer({"execution_id": execution.execution_id})


def bust(call: Call) -> Answer:
    """Takes the execution `execution_id` back; with `quantity` or `price` a corrected one stands in its place."""
    venue, body = call.gateway.venue, call.json_object()
    check_fields(body, {"execution_id", "quantity", "price"})
    execution = venue.book.execution(str(body.get("execution_id")))
    if execution is None:
        raise BadRequest(f"execution_id: no such execution: {body.get('execution_id')}")
    quantity = read_positive(body, "quantity") if "quantity" in body else None
    price = read_positive(body, "price") if "price" in body else None
    return Answer({"execution_id": venue.bust(execution, quantity=quantity, price=price)})


def move_position(call: Call) -> Answer:
    """Moves `quantity` shares of `conid` in (positive) or out, without cash; `price` is their cost."""
    venue, body = call.gateway.venue, call.json_object()
    check_fields(body, {"conid", "quantity", "price"})
    conid = _known_conid(call, body)
    quantity = read_number(body, "quantity")
    if not quantity:
        raise BadRequest("quantity: must not be zero")
    venue.move_position(conid, quantity, read_positive(body, "price") if "price" in body else venue.last_price(conid))
    return Answer({"quantity": float(venue.book.account.quantity(conid))})


def _known_conid(call: Call, body: dict[str, Any]) -> int:
    conid = body.get("conid")
    if conid not in call.gateway.tape.contracts:
        raise BadRequest(f"conid: not on the tape: {conid!r}")
    return int(conid)


def _find_order(call: Call, body: dict[str, Any]) -> VenueOrder | None:
    for order in call.gateway.venue.book.live_orders():
        if str(order.order_id) == str(body.get("order_id")) or (order.coid and order.coid == body.get("coid")):
            return order
    return None


def admin_routes(faults: FaultBoard) -> Routes:
    """Every call of the admin port; what is armed there is armed on `faults`."""
    return Routes(
        [
            ("GET", "/clock", "clock", read_clock, Needs.NOTHING),
            ("GET", "/admin/clock", "clock", read_clock, Needs.NOTHING),
            ("POST", "/admin/clock", "move_clock", move_clock, Needs.NOTHING),
            ("GET", "/admin/ledger", "ledger", read_ledger, Needs.NOTHING),
            ("GET", "/admin/wirelog", "wirelog", read_wirelog, Needs.NOTHING),
            *SESSION_ROUTES,
            ("GET", "/admin/venue", "venue", read_venue, Needs.NOTHING),
            ("POST", "/admin/venue", "set_venue", set_venue, Needs.NOTHING),
            ("POST", "/admin/fill", "fill", fill, Needs.NOTHING),
            ("POST", "/admin/bust", "bust", bust, Needs.NOTHING),
            ("POST", "/admin/position", "position", move_position, Needs.NOTHING),
            *FaultDesk(faults).routes(),
        ]
    )

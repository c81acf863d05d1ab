"""Admin calls about the gateway itself: restarts, both sessions and who logs in, pacing, open websockets.

What people do at the broker, the clock and the faults are in `admin`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ibkr_assets.simulator.face.admin_fields import check_fields, read_number, read_positive, read_span
from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call, Needs
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.sessions import Brokerage

_STATES = ("lost", "competing", "disconnected", "logged_out", "ok")


def restart(call: Call) -> Answer:
    """A gateway restart: another session, empty lists, no suppression, no question. Orders stay.

    With `down_s` the API port is closed for so many real seconds, and every connection ends at once.
    """
    body = call.json_object()
    check_fields(body, {"down_s"})
    call.gateway.restart(read_span(body, "down_s") if "down_s" in body else 0.0)
    return Answer({"session": call.gateway.session.id})


def read_session(call: Call) -> Answer:
    """Both sessions, and how often a login was asked for: `login_attempts` counts init calls, `attempts` times them."""
    return Answer(_describe(call.gateway))


def set_session(call: Call) -> Answer:
    """`state`: lost, competing, disconnected, logged_out, or ok, which is a person who logs in.

    `idle_limit_s`: after how much silence a session ends, in real seconds. `auto_login_after_s`: after how much
    market time somebody logs in by himself; null, nobody does. `init_failures`: how many inits fail from now on.
    """
    session, body = call.gateway.session, call.json_object()
    check_fields(body, {"state", "idle_limit_s", "auto_login_after_s", "init_failures"})
    state = body.get("state")
    if state is not None and state not in _STATES:
        raise BadRequest(f"state: must be one of {', '.join(_STATES)}, got {state!r}")
    if "idle_limit_s" in body:
        session.idle_limit_s = read_span(body, "idle_limit_s")
    if "auto_login_after_s" in body:
        is_nobody = body["auto_login_after_s"] is None
        session.auto_login_after = None if is_nobody else timedelta(seconds=read_span(body, "auto_login_after_s"))
    if "init_failures" in body:
        session.init_failures = int(read_number(body, "init_failures"))
    if state == "logged_out":
        session.log_out()
    elif state == "ok":
        session.log_in()
    elif state is not None:
        session.lose(Brokerage(state))
    return Answer(_describe(call.gateway))


def read_pacing(call: Call) -> Answer:
    """`breaches` by rule, and `most`: the most requests that any window of a rule ever held."""
    pacer = call.gateway.pacer
    return Answer({"penalty_s": pacer.penalty_s, "breaches": pacer.breaches, "most": pacer.most})


def set_pacing(call: Call) -> Answer:
    """`pace` divides IBKR's windows; `penalty_s` is the length of the penalty box. Real seconds."""
    pacer, body = call.gateway.pacer, call.json_object()
    check_fields(body, {"pace", "penalty_s"})
    if "pace" in body:
        pacer.set_pace(float(read_positive(body, "pace")))
    if "penalty_s" in body:
        pacer.penalty_s = read_span(body, "penalty_s")
    return read_pacing(call)


def read_streams(call: Call) -> Answer:
    """The open websockets, with what each has subscribed to."""
    return Answer(call.gateway.streams.describe())


def act_on_streams(call: Call) -> Answer:
    """`drop` true ends every websocket at once; `ntf` (an object) and `blt` (a text) are told to everybody."""
    streams, body = call.gateway.streams, call.json_object()
    check_fields(body, {"drop", "ntf", "blt"})
    if "ntf" in body:
        streams.tell_all({"topic": "ntf", "args": [body["ntf"]]})
    if "blt" in body:
        streams.tell_all({"topic": "blt", "args": {"id": "1", "message": str(body["blt"])}})
    return Answer({"dropped": streams.drop_all() if body.get("drop") is True else 0})


def _describe(gateway: Gateway) -> dict[str, Any]:
    session = gateway.session
    return {
        "logged_in": session.is_logged_in, "brokerage": session.brokerage.value, "session": session.id,
        "maintenance": session.is_in_maintenance, "logins": session.login_count,
        "login_attempts": session.attempt_count, "attempts": [at.isoformat() for at in session.attempts],
    }  # fmt: skip


SESSION_ROUTES = (
    ("POST", "/admin/restart", "restart", restart, Needs.NOTHING),
    ("GET", "/admin/session", "read_session", read_session, Needs.NOTHING),
    ("POST", "/admin/session", "session", set_session, Needs.NOTHING),
    ("GET", "/admin/pacing", "read_pacing", read_pacing, Needs.NOTHING),
    ("POST", "/admin/pacing", "pacing", set_pacing, Needs.NOTHING),
    ("GET", "/admin/streams", "read_streams", read_streams, Needs.NOTHING),
    ("POST", "/admin/streams", "streams", act_on_streams, Needs.NOTHING),
)

"""Handlers of the two sessions: tickle, status, init, login check, logout; and what is refused without them.

The states, and what ends and begins them, are in `simulator.sessions`.
"""

from __future__ import annotations

import contextlib
from typing import Any

from ibkr_assets.simulator.face.exchange import Answer, Call, Needs, refusal
from ibkr_assets.simulator.face.formats import millis
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.sessions import Brokerage, InitFailed

USER = "simuser01"
USER_ID = 100000001
_MAC = "98:F2:B3:23:BF:A0"
SERVER = {"serverName": "SimServer01", "serverVersion": "Build 10.50.1a, Oct 1, 2026 10:00:00 AM"}
_ELSEWHERE = "Trading TWS session is connected from a different IP address"


def what_is_missing(gateway: Gateway, needs: Needs) -> Answer | None:
    """The refusal of a call whose sessions are not in order, or None where they are."""
    session = gateway.session
    if session.is_in_maintenance:
        return refusal(503, "Service Unavailable")
    if needs is Needs.NOTHING:
        return None
    if not session.is_admitted:
        return refusal(401, "no session")
    if needs is Needs.PORTFOLIO and not session.is_portfolio_read:
        return refusal(400, "Please query /portfolio/accounts first")
    if needs in (Needs.BROKERAGE, Needs.ACCOUNTS) and not session.is_ready:
        return refusal(400, "Bad Request: no bridge")
    if needs is Needs.ACCOUNTS and not session.memory.is_accounts_read:
        return refusal(500, "Please query /accounts first")
    return None


def auth_status(gateway: Gateway) -> dict[str, Any]:
    """Both sessions as one object.

    Without a brokerage session nothing is known of a server; without a connection to IBKR four keys are all.
    """
    session = gateway.session
    status: dict[str, Any] = {
        "authenticated": session.is_authenticated,
        "competing": session.brokerage is Brokerage.COMPETING,
        "connected": session.is_logged_in and session.brokerage is not Brokerage.DISCONNECTED,
        "MAC": _MAC,
    }
    if session.brokerage is Brokerage.DISCONNECTED:
        return status
    status |= {"established": session.is_ready, "message": ""}
    if session.is_authenticated:
        return status | {"serverInfo": SERVER, "hardware_info": f"51f1a2c0|{_MAC}"}
    return status | {"serverInfo": {"serverName": None, "serverVersion": None}}


def tickle(call: Call) -> Answer:
    """Keeps the session alive and tells its id."""
    session = call.gateway.session
    return Answer(
        {
            "session": session.id,
            "ssoExpires": session.login_left_ms,
            "collission": session.brokerage is Brokerage.COMPETING,
            "userId": USER_ID,
            "hmds": {"error": "no bridge"},
            "iserver": {"authStatus": auth_status(call.gateway)},
        }
    )


def status(call: Call) -> Answer:
    """The state of the brokerage session, and why there is none where that is known."""
    state = call.gateway.session.brokerage
    if state is Brokerage.DISCONNECTED:
        return Answer(auth_status(call.gateway))
    return Answer(auth_status(call.gateway) | {"fail": _ELSEWHERE if state is Brokerage.COMPETING else ""})


def init(call: Call) -> Answer:
    """Brings the brokerage session up. A 200 that is not authenticated is a failure. Every call is counted."""
    session = call.gateway.session
    session.note_attempt()
    refused = what_is_missing(call.gateway, Needs.LOGIN)
    if refused is not None:
        return refused
    body = call.json_object()
    if body.get("publish") is not True:
        return refusal(500, "publish must be true")
    try:
        session.init(may_compete=body.get("compete") is True)
    except InitFailed:
        return Answer({"error": "failed to generate sso dh token"}, 500)
    return Answer(auth_status(call.gateway))


def reauthenticate(call: Call) -> Answer:
    """IBKR's deprecated way: it only says that it was asked, and takes the session from nobody."""
    call.gateway.session.note_attempt()
    with contextlib.suppress(InitFailed):  # whoever asks learns of a failure from the status alone
        call.gateway.session.init(may_compete=False)
    return Answer({"message": "triggered"})


def validate(call: Call) -> Answer:
    """The login session. `EXPIRES` is in milliseconds, `AUTH_TIME` the market time of the login."""
    session = call.gateway.session
    return Answer(
        {
            "USER_ID": USER_ID, "USER_NAME": USER, "RESULT": True, "AUTH_TIME": millis(session.logged_in_at),
            "SF_ENABLED": False, "IS_FREE_TRIAL": False, "CREDENTIAL": USER, "IP": call.gateway.options.host,
            "EXPIRES": session.login_left_ms, "QUALIFIED_FOR_MOBILE_AUTH": False, "LANDING_APP": "UNIVERSAL",
            "IS_MASTER": False, "LOGIN_TYPE": 2, "PAPER_USER_NAME": USER,
            "features": {"env": "PROD", "wlms": True, "realtime": True}, "region": "NJ",
        }
    )  # fmt: skip


def logout(call: Call) -> Answer:
    """Ends both sessions."""
    call.gateway.session.log_out()
    return Answer({"status": True})

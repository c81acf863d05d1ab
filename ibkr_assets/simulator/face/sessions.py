"""Handlers of the two sessions: tickle, status, init, login check, logout. The states are in `simulator.sessions`."""

from __future__ import annotations

from typing import Any

from ibkr_assets.simulator.face.exchange import Answer, Call, refusal
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.sessions import Brokerage

USER = "simuser01"
_MAC = "98:F2:B3:23:BF:A0"
SERVER = {"serverName": "SimServer01", "serverVersion": "Build 10.50.1a, Oct 1, 2026 10:00:00 AM"}
_SSO_LIFE_MS = 600_000


def auth_status(gateway: Gateway) -> dict[str, Any]:
    """Both sessions as one object. An absent brokerage session leaves only the four truth values and a reason."""
    session = gateway.session
    status: dict[str, Any] = {
        "authenticated": session.is_ready,
        "established": session.is_ready,
        "competing": session.brokerage is Brokerage.COMPETING,
        "connected": session.is_logged_in,
        "message": "",
        "MAC": _MAC,
    }
    if session.is_ready:
        status |= {"serverInfo": SERVER, "hardware_info": f"51f1a2c0|{_MAC}"}
    else:
        status |= {"serverInfo": {"serverName": None, "serverVersion": None}}
    return status


def tickle(call: Call) -> Answer:
    """Keeps the session alive and tells its id."""
    session = call.gateway.session
    return Answer(
        {
            "session": session.id,
            "ssoExpires": _SSO_LIFE_MS,
            "collission": session.brokerage is Brokerage.COMPETING,
            "userId": 100000001,
            "hmds": {"error": "no bridge"},
            "iserver": {"authStatus": auth_status(call.gateway)},
        }
    )


def status(call: Call) -> Answer:
    """The state of the brokerage session."""
    return Answer(auth_status(call.gateway) | {"fail": ""})


def init(call: Call) -> Answer:
    """Brings the brokerage session up. A 200 that is not authenticated is a failure."""
    body = call.json_object()
    if body.get("publish") is not True:
        return refusal(500, "publish must be true")
    call.gateway.session.init(may_compete=body.get("compete") is True)
    return Answer(auth_status(call.gateway))


def reauthenticate(_call: Call) -> Answer:
    """IBKR's deprecated way; it only says that it was asked."""
    return Answer({"message": "triggered"})


def validate(call: Call) -> Answer:
    """The login session."""
    return Answer(
        {
            "USER_ID": 100000001, "USER_NAME": USER, "RESULT": True, "AUTH_TIME": 0, "SF_ENABLED": False,
            "IS_FREE_TRIAL": False, "CREDENTIAL": USER, "IP": call.gateway.options.host, "EXPIRES": _SSO_LIFE_MS,
            "QUALIFIED_FOR_MOBILE_AUTH": None, "LANDING_APP": "UNIVERSAL", "IS_MASTER": False, "LOGIN_TYPE": 2,
            "PAPER_USER_NAME": USER, "features": {"env": "PROD", "wlms": True, "realtime": True}, "region": "NJ",
        }
    )  # fmt: skip


def logout(call: Call) -> Answer:
    """Ends both sessions."""
    call.gateway.session.log_out()
    return Answer({"status": True})

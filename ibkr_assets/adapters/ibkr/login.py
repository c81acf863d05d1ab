"""The brokerage session brought up, by the states that IBKR's two sessions can be in.

What goes here: which state asks for which call, and which asks for a person. How often goes to `logins`; what is read
once the session is there goes to `session`.

    logged in  connected  authenticated  competing
    no         -          -              -          a person logs in with a browser; nothing is tried
    yes        any        no             no         one init, further apart each time it does not help
    yes        any        any            yes        a person logs the other platform out, or allowed one take-over
    yes        yes        yes            no         ready, once it does not say `established: false`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ibkr_assets.adapters.ibkr import answers, parse, payloads
from ibkr_assets.adapters.ibkr.logins import HELD_ELSEWHERE
from ibkr_assets.adapters.ibkr.pacing import PacedOut
from ibkr_assets.domain.errors import LoginRequired, Unavailable, UnreadableAnswer

if TYPE_CHECKING:
    from ibkr_assets.adapters.ibkr.transport import Transport
    from ibkr_assets.domain.broker import SessionStatus

INIT_PATH = "iserver/auth/ssodh/init"

#: Waits between looks at a brokerage session that was just opened; it comes up in a moment or not at all.
SETTLING_S = (0.0, 0.2, 0.4, 0.8, 1.6)


def bring_up(
    transport: Transport,
    read_status: Callable[[], SessionStatus],
    status: SessionStatus,
    *,
    may_compete: bool,
    sleep: Callable[[float], None],
) -> SessionStatus:
    """Open the brokerage session, which `status` says is not ready.

    Raises LoginRequired where only a person can help, and Unavailable where a later try may.
    """
    logins = transport.limiter.logins
    require_login(status)
    with logins.turn() as had_to_wait:
        if had_to_wait:
            status = read_status()
            require_login(status)
            if status.is_ready:
                return status
        logins.check()
        if status.is_competing:
            logins.claim_competition(is_allowed=may_compete)
        try:
            ready = _init(transport, read_status, sleep, is_competing=status.is_competing)
        except PacedOut:
            raise
        except (Unavailable, UnreadableAnswer):
            logins.note_failure()
            raise
        logins.note_success()
        return ready


def require_login(status: SessionStatus) -> None:
    """Raises LoginRequired when nobody is logged in to the gateway."""
    if not status.is_logged_in:
        raise LoginRequired(f"the gateway is not logged in; {answers.LOG_IN}")


def _init(
    transport: Transport,
    read_status: Callable[[], SessionStatus],
    sleep: Callable[[float], None],
    *,
    is_competing: bool,
) -> SessionStatus:
    try:
        answer = transport.request("POST", INIT_PATH, body={"publish": True, "compete": is_competing})
    except PacedOut as error:
        raise PacedOut(f"the brokerage session could not be opened: {error}; too many logins within the hour") from None
    if answers.is_login_page(answer):
        raise LoginRequired(f"the gateway is not logged in; {answers.LOG_IN}")
    value = answers.session_value(answer, "opening the brokerage session")
    said = parse.session_status(payloads.read(payloads.AuthStatus, value, "init"))
    _refuse_competition(said)
    for wait_s in SETTLING_S if said.is_authenticated else ():
        sleep(wait_s)
        status = read_status()
        _refuse_competition(status)
        if status.is_ready:
            return status
    raise Unavailable(
        f"the brokerage session did not come up (connected {said.is_connected}, authenticated "
        f"{said.is_authenticated}) {said.message}; if that lasts, restart the gateway and log in again"
    )


def _refuse_competition(status: SessionStatus) -> None:
    if status.is_competing:
        raise LoginRequired(HELD_ELSEWHERE)

"""Faults of the login and of the brokerage session.

Faults of orders, of data and of the connection are in `orders`, `data` and `transport`. What a session remembers is
the work of `simulator.sessions`: a fault that ends one says so there, and the gateway's own answers follow.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from ibkr_assets.simulator.answers import RESET, Answer, refusal
from ibkr_assets.simulator.faults.fault import Fault, Kind, Situation
from ibkr_assets.simulator.faults.parameters import number, time_of_day, whole, word, zone
from ibkr_assets.simulator.sessions import Brokerage

#: What needs the brokerage session, and nothing of the login.
_BROKERAGE = frozenset({"submit", "reply", "modify", "cancel", "orders", "order_status", "trades", "snapshot"})
#: What needs the accounts to be read first.
_AFTER_ACCOUNTS = frozenset({"submit", "reply", "modify", "cancel", "orders", "order_status", "snapshot"})


def _shut_out(situation: Situation) -> Answer:
    """The penalty box: shut at the first strike, for everybody and everything, until the market clock has passed it."""
    now = situation.gateway.venue.now
    situation.memory.setdefault("until", now + timedelta(seconds=situation.options["seconds"]))
    return refusal(429, "Too Many Requests")


def _is_before_end(situation: Situation) -> bool:
    until: datetime | None = situation.memory.get("until")
    return until is None or situation.gateway.venue.now < until


def _unauthorized(_: Situation) -> Answer:
    return refusal(401, "no session")


def _taken_away(situation: Situation) -> Answer:
    situation.gateway.session.lose(Brokerage.COMPETING)
    return refusal(400, "Bad Request: no bridge")


def _accounts_forgotten(situation: Situation) -> Answer:
    situation.gateway.session.memory.is_accounts_read = False
    return refusal(situation.options["status"], "Please query /accounts first")


def _lost(situation: Situation) -> Answer:
    situation.gateway.session.lose(Brokerage.LOST)
    words = {"no_bridge": "Bad Request: no bridge", "init_first": "Init session first"}
    return refusal(400, words[situation.options["words"]])


def _gone(situation: Situation) -> Answer:
    """The gateway's process ends at the first strike and is back later: another session, with nothing remembered."""
    if "until" not in situation.memory:
        situation.gateway.session.restart()
    now = situation.gateway.venue.now
    situation.memory.setdefault("until", now + timedelta(seconds=situation.options["closed_s"]))
    return Answer(delivery=RESET)


def _is_at_night(situation: Situation) -> bool:
    options = situation.options
    local = situation.gateway.venue.now.astimezone(ZoneInfo(options["zone"]))
    begins = datetime.combine(local.date(), options["at"], local.tzinfo)
    return begins <= local < begins + timedelta(minutes=options["minutes"])


def _maintenance(_: Situation) -> Answer:
    return refusal(503, "Service Unavailable")


FAULTS = (
    Fault(
        "F20", "429, and the penalty box for everything", Kind.INSTEAD, None, _shut_out, {"seconds": number(900.0)},
        _is_before_end, times=None,
    ),
    Fault("F21", "401 in the middle of a session", Kind.INSTEAD, None, _unauthorized),
    Fault("F22", "another platform takes the session", Kind.INSTEAD, _BROKERAGE, _taken_away),
    Fault(
        "F23", "accounts must be read first", Kind.INSTEAD, _AFTER_ACCOUNTS, _accounts_forgotten,
        {"status": whole(500, least=400, most=500)},
    ),
    Fault(
        "F24", "brokerage session gone", Kind.INSTEAD, _BROKERAGE, _lost,
        {"words": word("no_bridge", "no_bridge", "init_first")},
    ),
    Fault(
        "F26", "gateway restarts", Kind.INSTEAD, None, _gone, {"closed_s": number(60.0)}, _is_before_end, times=None
    ),
    Fault(
        "F27", "nightly reset", Kind.INSTEAD, None, _maintenance,
        {"zone": zone("America/New_York"), "at": time_of_day("01:00"), "minutes": number(10.0)}, _is_at_night,
        times=None,
    ),
)  # fmt: skip

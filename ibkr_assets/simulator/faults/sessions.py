"""Faults of the login and of the brokerage session.

Faults of orders, of data and of the connection are in `orders`, `data` and `transport`.
"""

from __future__ import annotations

from ibkr_assets.simulator.answers import Answer, refusal
from ibkr_assets.simulator.faults.fault import Fault, Kind, Situation


def _unauthorized(_: Situation) -> Answer:
    return refusal(401, "no session")


FAULTS = (Fault("F21", "401 in the middle of a session", Kind.INSTEAD, None, _unauthorized),)

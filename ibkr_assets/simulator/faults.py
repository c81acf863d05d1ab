"""What can be made to go wrong: the table of faults, and which are armed.

One line of the table says on which routes a fault strikes, whether before the request is handled or after an order
was booked, and what goes back instead of the answer. How bytes are withheld is the face's work (`face.shell`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Strike(StrEnum):
    """When a fault acts: the request is never handled; or it is, and the answer is replaced."""

    INSTEAD = "instead"
    AFTER = "after"


class Effect(StrEnum):
    """What the client gets."""

    RESET = "reset"
    UNAVAILABLE = "503"
    HTML = "html"
    EMPTY = "empty"
    UNAUTHORIZED = "401"
    NO_ORDERS = "fake-empty orders"
    NO_TRADES = "fake-empty trades"


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of the table. `routes` None means every route of the API."""

    id: str
    effect: Effect
    strike: Strike
    routes: frozenset[str] | None


_PLACING = frozenset({"submit", "reply", "modify"})

TABLE: dict[str, Fault] = {
    fault.id: fault
    for fault in (
        Fault("F1", Effect.RESET, Strike.AFTER, _PLACING),
        Fault("F2", Effect.RESET, Strike.INSTEAD, _PLACING),
        Fault("F5", Effect.UNAVAILABLE, Strike.INSTEAD, _PLACING),
        Fault("F8", Effect.HTML, Strike.INSTEAD, None),
        Fault("F10", Effect.EMPTY, Strike.INSTEAD, _PLACING),
        Fault("F21", Effect.UNAUTHORIZED, Strike.INSTEAD, None),
        Fault("F28", Effect.NO_ORDERS, Strike.INSTEAD, frozenset({"orders"})),
        Fault("F30", Effect.NO_TRADES, Strike.INSTEAD, frozenset({"trades"})),
    )
}


class UnknownFault(Exception):
    """The table has no such fault, or the order to arm it makes no sense."""


@dataclass(slots=True)
class ArmedFault:
    """A fault that waits. It strikes on the `nth` chance and the following, or on each with `probability`.

    `times` bounds how often. `is_booked` True lets the request be handled first: such a fault has a chance only when
    an order was accepted. `delay_s` is how long the answer is held back.
    """

    fault: Fault
    nth: int
    probability: float | None
    times: int
    routes: frozenset[str] | None
    is_booked: bool
    delay_s: float
    chances: int = 0
    struck: int = 0


class FaultBoard:
    """Armed faults. Every chance is drawn from the seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"faults/{seed}")  # noqa: S311 - reproducible, not secret
        self._armed: dict[str, ArmedFault] = {}

    def arm(self, spec: dict[str, Any]) -> ArmedFault:
        """Arm (or arm anew) the fault `id`. Raises UnknownFault naming the field.

        `nth` (default 1), `probability`, `times` (default 1, or no bound with a probability), `routes` (names of
        routes instead of the table's), `booked` (whether the order is booked first), `delay_s`.
        """
        fault = TABLE.get(str(spec.get("id")))
        if fault is None:
            raise UnknownFault(f"id: no fault {spec.get('id')!r}; known are {', '.join(TABLE)}")
        unknown = set(spec) - {"id", "nth", "probability", "times", "routes", "booked", "delay_s"}
        if unknown:
            raise UnknownFault(f"{min(unknown)}: unknown field of a fault")
        probability = spec.get("probability")
        if probability is not None and not 0 <= float(probability) <= 1:
            raise UnknownFault(f"probability: must be in 0..1, got {probability}")
        armed = ArmedFault(
            fault,
            nth=int(spec.get("nth", 1)),
            probability=None if probability is None else float(probability),
            times=int(spec.get("times", 1 if probability is None else 1_000_000_000)),
            routes=frozenset(spec["routes"]) if "routes" in spec else fault.routes,
            is_booked=bool(spec.get("booked", fault.strike is Strike.AFTER)),
            delay_s=float(spec.get("delay_s", 10.0 if fault.effect is Effect.UNAVAILABLE else 0.0)),
        )
        self._armed[fault.id] = armed
        return armed

    def disarm(self, fault_id: str) -> bool:
        """Take a fault away; False when it was not armed."""
        return self._armed.pop(fault_id, None) is not None

    def armed(self) -> list[ArmedFault]:
        """All that are armed, spent ones included."""
        return list(self._armed.values())

    def strikes(self, route: str, *, is_after: bool) -> ArmedFault | None:
        """The fault that acts on this request now, if one does; each look is a chance of every fault that fits."""
        hit = None
        for armed in self._armed.values():
            if armed.is_booked is not is_after or (armed.routes is not None and route not in armed.routes):
                continue
            armed.chances += 1
            if armed.struck >= armed.times or armed.chances < armed.nth:
                continue
            if armed.probability is not None and self._chance.random() >= armed.probability:
                continue
            if hit is None:
                armed.struck += 1
                hit = armed
        return hit

"""Faults that are armed, and whether one of them strikes now: by chance, by count, or in a window of market time.

What a fault does when it strikes is its line in the table; bytes on sockets are the face's work.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ibkr_assets.simulator.answers import Answer
from ibkr_assets.simulator.faults.fault import Fault, Kind, Situation, UnknownFault
from ibkr_assets.simulator.faults.parameters import UnfitValue, instant, number, texts, whole
from ibkr_assets.simulator.faults.table import TABLE

_WITHOUT_END = 1_000_000_000
_COMMON = {"id", "nth", "probability", "times", "routes", "from", "to", "booked", "delay_s"}


@dataclass(slots=True)
class ArmedFault:
    """A fault that waits. It strikes on the `nth` chance and the following, or on each with `probability`.

    `times` bounds how often, `begins` and `ends` within which market time (aware, from inclusive). `is_booked` True
    lets an INSTEAD fault act only once an order was accepted. `delay_s` is how long the answer is held back.
    """

    fault: Fault
    nth: int
    probability: float | None
    times: int
    routes: frozenset[str] | None
    is_booked: bool
    delay_s: float
    begins: datetime | None
    ends: datetime | None
    options: dict[str, Any]
    chances: int = 0
    struck: int = 0
    memory: dict[str, Any] = field(default_factory=dict)

    def may_strike(self, route: str, now: datetime) -> bool:
        """True where this route and this moment are its own."""
        if self.routes is not None and route not in self.routes:
            return False
        return (self.begins is None or self.begins <= now) and (self.ends is None or now < self.ends)


class FaultBoard:
    """Armed faults, in the order of their arming. Every chance is drawn from the seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"faults/{seed}")  # noqa: S311 - reproducible, not secret
        self._armed: dict[str, ArmedFault] = {}

    def arm(self, spec: dict[str, Any]) -> ArmedFault:
        """Arm (or arm anew) the fault `id`. Raises UnknownFault naming the field.

        `nth` (default 1), `probability`, `times` (default that of its line, or no bound with a probability or a
        window), `from` and `to` (market time, ISO 8601 with a zone), `routes` (names of routes instead of the
        table's), `delay_s`, `booked` (whether an order is booked first; not for a fault that alters an answer), and
        the fault's own parameters by name.
        """
        fault = TABLE.get(str(spec.get("id")))
        if fault is None:
            raise UnknownFault(f"id: no fault {spec.get('id')!r}; known are {', '.join(TABLE)}")
        unknown = set(spec) - _COMMON - set(fault.parameters)
        if unknown:
            raise UnknownFault(f"{min(unknown)}: unknown field of fault {fault.id}")
        if fault.kind in (Kind.ALTER, Kind.BEFORE) and "booked" in spec:
            raise UnknownFault(f"booked: fault {fault.id} lets every request be handled")
        probability = _read(spec, "probability", number(None, most=1.0).read)
        begins, ends = (_read(spec, name, instant().read) for name in ("from", "to"))
        if begins is not None and ends is not None and ends <= begins:
            raise UnknownFault(f"to: must be after from, got {spec['to']}")
        is_bounded = probability is None and begins is None and ends is None
        routes = _read(spec, "routes", texts(()).read)
        armed = ArmedFault(
            fault,
            nth=_read(spec, "nth", whole(1, least=1).read) or 1,
            probability=probability,
            times=_read(spec, "times", whole(1).read) if "times" in spec else _how_often(fault, is_bounded=is_bounded),
            routes=fault.routes if routes is None else frozenset(routes),
            is_booked=bool(spec.get("booked", fault.kind is Kind.AFTER)),
            delay_s=_read(spec, "delay_s", number(0.0).read) if "delay_s" in spec else fault.delay_s,
            begins=begins,
            ends=ends,
            options={
                name: _read(spec, name, parameter.read) if name in spec else parameter.default
                for name, parameter in fault.parameters.items()
            },
        )
        self._armed[fault.id] = armed
        return armed

    def disarm(self, fault_id: str) -> bool:
        """Take a fault away; False when it was not armed."""
        return self._armed.pop(fault_id, None) is not None

    def armed(self) -> list[ArmedFault]:
        """All that are armed, spent ones included."""
        return list(self._armed.values())

    def strike_instead(self, situation: Situation) -> Answer | None:
        """The answer of the first fault that keeps this request from being handled, or None.

        What only happens before it happens first. Each look is a chance of every fault that fits.
        """
        for armed in self._hits(self._of(Kind.BEFORE), situation, most=None):
            _strike(armed, situation)
        waiting = [a for a in self._of(Kind.INSTEAD, Kind.AFTER) if not a.is_booked]
        return next((_strike(a, situation) for a in list(self._hits(waiting, situation, most=1))), None)

    def strike_after(self, situation: Situation) -> Answer:
        """The answer once the request was handled: altered by every fault that strikes, then replaced by one.

        Each looks at what the faults before it have left of the answer.
        """
        for one in self._of(Kind.ALTER):
            for armed in self._hits([one], situation, most=None):
                situation = replace(situation, answer=_strike(armed, situation))
        if situation.accepted is None:
            return situation.handled
        waiting = [a for a in self._of(Kind.INSTEAD, Kind.AFTER) if a.is_booked]
        struck = next((_strike(a, situation) for a in list(self._hits(waiting, situation, most=1))), None)
        return situation.handled if struck is None else struck

    def _of(self, *kinds: Kind) -> list[ArmedFault]:
        return [armed for armed in self._armed.values() if armed.fault.kind in kinds]

    def _hits(self, waiting: list[ArmedFault], situation: Situation, *, most: int | None) -> Iterator[ArmedFault]:
        hits = 0
        for armed in waiting:
            if not armed.may_strike(situation.route, situation.gateway.venue.now):
                continue
            if not armed.fault.fits(replace(situation, options=armed.options, memory=armed.memory)):
                continue
            armed.chances += 1
            if armed.struck >= armed.times or armed.chances < armed.nth:
                continue
            if armed.probability is not None and self._chance.random() >= armed.probability:
                continue
            if most is None or hits < most:
                hits += 1
                armed.struck += 1
                yield armed


def _strike(armed: ArmedFault, situation: Situation) -> Answer | None:
    """What the fault makes of it, held back for as long as it was armed with."""
    answer = armed.fault.effect(replace(situation, options=armed.options, memory=armed.memory, strike=armed.struck))
    return None if answer is None else replace(answer, delay_s=answer.delay_s + armed.delay_s)


def _read(spec: dict[str, Any], name: str, read: Any) -> Any:
    """A field of the order to arm, checked; None where it is not given."""
    if spec.get(name) is None:
        return None
    try:
        return read(spec[name])
    except UnfitValue as error:
        raise UnknownFault(f"{name}: {error}, got {spec[name]!r}") from None


def _how_often(fault: Fault, *, is_bounded: bool) -> int:
    """How often a fault strikes that was armed without a number: as its line says, in a window at every chance."""
    return fault.times if is_bounded and fault.times is not None else _WITHOUT_END

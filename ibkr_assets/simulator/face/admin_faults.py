"""The admin port's calls about faults: arm one, see what is armed, take one away.

What goes here: these calls over one board. What does not: when a fault strikes (`faults.board`) and the port itself
(`face.admin`).
"""

from __future__ import annotations

from datetime import date, time
from typing import Any

from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call, Handler, Needs
from ibkr_assets.simulator.face.routes import API_ROUTES
from ibkr_assets.simulator.faults.board import ArmedFault, FaultBoard


class FaultDesk:
    """The calls about one board of faults."""

    def __init__(self, faults: FaultBoard) -> None:
        self._faults = faults

    def routes(self) -> tuple[tuple[str, str, str, Handler, Needs], ...]:
        """Rows for `Routes`."""
        return (
            ("POST", "/admin/fault", "arm_fault", self.arm, Needs.NOTHING),
            ("GET", "/admin/fault", "faults", self.read, Needs.NOTHING),
            ("DELETE", "/admin/fault/{fault_id}", "disarm_fault", self.disarm, Needs.NOTHING),
        )

    def arm(self, call: Call) -> Answer:
        """Arms a fault of the table; see `FaultBoard.arm` for the fields."""
        body = call.json_object()
        routes = body.get("routes")
        for name in routes if isinstance(routes, list) else ():
            if name not in API_ROUTES.names:
                raise BadRequest(f"routes: no route {name!r}; known are {', '.join(sorted(API_ROUTES.names))}")
        return Answer(_describe(self._faults.arm(body)))

    def read(self, _: Call) -> Answer:
        """Faults that are armed, and how often each struck."""
        return Answer([_describe(armed) for armed in self._faults.armed()])

    def disarm(self, call: Call) -> Answer:
        """Takes a fault away."""
        if not self._faults.disarm(call.params["fault_id"]):
            return Answer({"error": f"fault {call.params['fault_id']} is not armed"}, 404)
        return Answer({"disarmed": call.params["fault_id"]})


def _describe(armed: ArmedFault) -> dict[str, Any]:
    return {
        "id": armed.fault.id, "title": armed.fault.title, "kind": armed.fault.kind.value, "nth": armed.nth,
        "probability": armed.probability, "times": armed.times, "booked": armed.is_booked, "delay_s": armed.delay_s,
        "from": None if armed.begins is None else armed.begins.isoformat(),
        "to": None if armed.ends is None else armed.ends.isoformat(),
        "parameters": {n: v.isoformat() if isinstance(v, date | time) else v for n, v in armed.options.items()},
        "chances": armed.chances, "struck": armed.struck,
    }  # fmt: skip

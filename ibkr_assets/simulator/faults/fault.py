"""One line of the table of faults, and what a fault knows when it strikes.

Whether an armed fault strikes is the board's work (`board`); the lines themselves are in `orders`, `sessions`, `data`
and `transport`, joined by `table`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ibkr_assets.simulator.answers import Answer
from ibkr_assets.simulator.faults.parameters import Parameter
from ibkr_assets.simulator.gateway import Gateway

if TYPE_CHECKING:
    from ibkr_assets.simulator.venue_order import VenueOrder


class UnknownFault(Exception):
    """The table has no such fault, or the order to arm it makes no sense. The text names the field."""


class Kind(StrEnum):
    """When a fault acts.

    BEFORE: something happens at the venue or the session first, and the request is then handled as it is.
    INSTEAD: the request is never handled. AFTER: it was, an order was accepted by it, and the answer is replaced.
    ALTER: it was handled, whatever came of it, and the answer's values or bytes are changed.
    """

    BEFORE = "before"
    INSTEAD = "instead"
    AFTER = "after"
    ALTER = "alter"


@dataclass(frozen=True, slots=True)
class Situation:
    """One request at the moment a fault looks at it.

    `path` are the parts of the path. `answer` is what the handlers made, `accepted` the order that was accepted;
    both None before handling. `options` are the fault's parameters, `strike` counts its strikes from 1, and `memory`
    is the fault's own, empty when it is armed. The venue may be changed through `gateway`, whose ledger is written
    before the answer leaves. The answer's body belongs to the venue: copy what you change.
    """

    gateway: Gateway
    route: str
    method: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    answer: Answer | None = None
    accepted: VenueOrder | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    strike: int = 1
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def handled(self) -> Answer:
        """The answer of the handlers."""
        assert self.answer is not None
        return self.answer


def always(_: Situation) -> bool:
    """Every request of the fault's routes is a chance."""
    return True


@dataclass(frozen=True, slots=True)
class Fault:
    """`routes` None means every route of the API. `effect` makes the answer that goes back, or None
    for a fault of kind BEFORE.

    `fits` tells whether a request is a chance at all; it is asked after the route. `delay_s` is how long the answer is
    held back, and `times` how often it strikes (None: without bound), unless the fault is armed with others.
    `parameters` are the fault's own, by name.
    """

    id: str
    title: str
    kind: Kind
    routes: frozenset[str] | None
    effect: Callable[[Situation], Answer | None]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    fits: Callable[[Situation], bool] = always
    delay_s: float = 0.0
    times: int | None = 1

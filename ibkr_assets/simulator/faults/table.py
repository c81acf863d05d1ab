"""The table of faults: every line of every part, by id and in the order of the ids."""

from __future__ import annotations

from itertools import chain

from ibkr_assets.simulator.faults import (
    data,
    order_events,
    order_lists,
    order_questions,
    orders,
    sessions,
    transport,
)
from ibkr_assets.simulator.faults.fault import Fault

_PARTS = (orders, order_questions, order_lists, order_events, sessions, data, transport)

TABLE: dict[str, Fault] = {
    fault.id: fault
    for fault in sorted(chain.from_iterable(part.FAULTS for part in _PARTS), key=lambda fault: int(fault.id[1:]))
}

"""The table of faults: every line of every part, by id and in the order of the ids."""

from __future__ import annotations

from ibkr_assets.simulator.faults import data, orders, sessions, transport
from ibkr_assets.simulator.faults.fault import Fault

TABLE: dict[str, Fault] = {
    fault.id: fault
    for fault in sorted(
        (*orders.FAULTS, *sessions.FAULTS, *data.FAULTS, *transport.FAULTS), key=lambda fault: int(fault.id[1:])
    )
}

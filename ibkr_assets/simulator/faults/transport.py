"""Faults of the connection: half-open sockets, clocks, certificates, sizes and speeds of bodies.

Faults of orders, of sessions and of data are in `orders`, `sessions` and `data`.
"""

from __future__ import annotations

from ibkr_assets.simulator.faults.fault import Fault

FAULTS: tuple[Fault, ...] = ()

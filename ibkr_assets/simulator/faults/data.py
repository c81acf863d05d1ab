"""Faults of market data: snapshots, bars, numbers, calendars, hostile texts.

Faults of orders, of sessions and of the connection are in `orders`, `sessions` and `transport`.
"""

from __future__ import annotations

from ibkr_assets.simulator.faults.fault import Fault

FAULTS: tuple[Fault, ...] = ()

"""Which test names the end state of which fault of the gateway's table, so that none can be forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., object])

#: Fault ids, each with the names of the tests that say what the platform must end as.
END_STATES: dict[str, list[str]] = {}


def end_state_of(*fault_ids: str) -> Callable[[Test], Test]:
    """Marks a test that arms these faults and asserts the end state that the platform reaches with them."""

    def register(test: Test) -> Test:
        for fault_id in fault_ids:
            END_STATES.setdefault(fault_id, []).append(f"{test.__module__}.{test.__qualname__}")
        return test

    return register

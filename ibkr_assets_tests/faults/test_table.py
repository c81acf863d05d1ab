"""The gateway serves every fault of its table, and for each a test says where the platform must end."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from ibkr_assets.simulator.faults.table import TABLE
from ibkr_assets_tests.faults.registry import END_STATES

#: The table has no gaps; a fault that is taken away or added shows here.
LAST = 54


@pytest.fixture(scope="module")
def end_states() -> dict[str, list[str]]:
    for module in Path(__file__).parent.glob("test_*_faults*.py"):
        importlib.import_module(f"ibkr_assets_tests.faults.{module.stem}")
    return END_STATES


def test_the_table_has_every_fault_from_the_first_to_the_last_and_no_other() -> None:
    assert list(TABLE) == [f"F{number}" for number in range(1, LAST + 1)]
    assert all(fault.id == name and fault.title for name, fault in TABLE.items())


@pytest.mark.parametrize("fault_id", list(TABLE))
def test_a_fault_has_a_test_that_names_the_end_state(end_states: dict[str, list[str]], fault_id: str) -> None:
    assert end_states.get(fault_id), f"no end_state_of({fault_id!r}) in ibkr_assets_tests/faults"


def test_no_test_names_a_fault_that_the_table_does_not_have(end_states: dict[str, list[str]]) -> None:
    assert set(end_states) <= set(TABLE)

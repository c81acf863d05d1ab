"""The bar store in memory keeps the contract of every bar store."""

import pytest

from ibkr_assets.ports import BarStore
from ibkr_assets_tests.contracts.bar_store import BarStoreContract
from ibkr_assets_tests.fakes.bars import MemoryBars


class TestMemoryBars(BarStoreContract):
    @pytest.fixture
    def store(self) -> BarStore:
        return MemoryBars()

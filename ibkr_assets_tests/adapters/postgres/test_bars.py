"""The bar store in Postgres under the contract of every bar store."""

from __future__ import annotations

import pytest

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets_tests.contracts.bar_store import BarStoreContract


class TestPostgresBars(BarStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> PostgresBars:
        return PostgresBars(database)

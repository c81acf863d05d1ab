"""Dagster's storage on Postgres, in which several runs may be the first to use a pool, and wait for it in peace.

What goes here: what Dagster's own storage cannot do. What does not: where it is and which limits there are
(`stack.instance`). Dagster makes a pool when a step first asks for it: it inserts a row and, where that is there
already, changes it in the same transaction, which Postgres refuses after an error. So one of two runs that asked at
once failed, and a default limit that was changed could never come into force. And a run that waits for a pool asks
without a pause whether it may look again (docs/decisions/0052-pools-are-made-once.md).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster._serdes import ConfigurableClassData
    from dagster._utils.concurrency import ConcurrencyClaimStatus

#: How long a run that waits for a pool sleeps before it looks again, which takes some milliseconds.
WAIT_S = 0.2


class PooledEventLog(PostgresEventLogStorage):
    """Dagster's event log, with pools that are made once however many ask, and that are waited for asleep."""

    def initialize_concurrency_limit_to_default(self, concurrency_key: str) -> bool:
        """Give the pool the default limit unless a person gave it one. True when pools are limited at all."""
        import sqlalchemy as sql
        from dagster._core.storage.event_log.schema import ConcurrencyLimitsTable
        from sqlalchemy.dialects.postgresql import insert

        default = self._instance.global_op_concurrency_default_limit if self.has_instance else None
        if default is None or not self.has_default_pool_limit_col:
            return super().initialize_concurrency_limit_to_default(concurrency_key)
        pool = ConcurrencyLimitsTable.c
        new = insert(ConcurrencyLimitsTable).values(
            concurrency_key=concurrency_key, limit=default, using_default_limit=True
        )
        # Whoever comes second waits for the row, and so finds the slots that the first made.
        make = new.on_conflict_do_update(
            index_elements=[pool.concurrency_key],
            set_={"limit": sql.case((pool.using_default_limit, default), else_=pool.limit)},
        ).returning(pool.limit)
        with self.index_transaction() as connection:
            limit = connection.execute(make).scalar_one()
            added = self._allocate_concurrency_slots(connection, concurrency_key, limit)
        self.assign_pending_steps(added)
        return True

    def claim_concurrency_slot(
        self, concurrency_key: str, run_id: str, step_key: str, priority: int | None = None
    ) -> ConcurrencyClaimStatus:
        """A slot of the pool; where none is free, that is told after a moment, and may be asked again at once.

        The executor means to sleep a second and more between two looks, and does not sleep at all
        (dagster-io/dagster#20367): a run that waited kept a processor from the one it waited for.
        """
        status: ConcurrencyClaimStatus = super().claim_concurrency_slot(concurrency_key, run_id, step_key, priority)
        if status.is_claimed:
            return status
        time.sleep(WAIT_S)
        again: ConcurrencyClaimStatus = status.with_sleep_interval(0.0)
        return again


class PooledStorage(DagsterPostgresStorage):
    """Dagster's storage with that event log. Named in `dagster.yaml` under `storage: custom`."""

    def __init__(self, postgres_url: str, **more: Any) -> None:
        """As Dagster's own; the tables are there when the event log is put in place of its."""
        super().__init__(postgres_url, **more)
        self._event_log_storage = PooledEventLog(
            postgres_url, should_autocreate_tables=False, token_provider=more.get("token_provider")
        )

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PooledStorage:
        """Make one from `dagster.yaml`, configured as Dagster's own."""
        return cls(
            pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
            token_provider=get_token_provider_from_config(config_value),
        )

"""The right to write to one account: one holder, an epoch that only rises, a heartbeat.

The lease is two things. A session lock of the database ends with its holder's connection, so a successor of a killed
process need not wait. The row with its epoch fences a holder that lost the connection and does not know it yet: the
ledger's guards refuse every move of an older epoch.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import psycopg
from psycopg.rows import DictRow

from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.errors import LedgerConflict, Unavailable
from ibkr_assets.domain.order import Mode

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Connection, Database
    from ibkr_assets.risk.facts import Versions


class PostgresLease:
    """The writer's lease of one account. Not for sharing between threads."""

    def __init__(self, database: Database, account_ref: str, versions: Versions | None = None) -> None:
        self._database = database
        self._account_ref = account_ref
        self._versions = versions
        self._session: Connection | None = None

    def register(self, broker_account: str, mode: Mode) -> None:
        """Make the account known. Raises LedgerConflict when it, or this database, serves another mode."""
        with transaction(self._database) as cursor:
            cursor.execute(
                "insert into oms.account (account_ref, broker_account, mode) values (%(ref)s, %(account)s, %(mode)s) "
                "on conflict (account_ref) do update set broker_account = excluded.broker_account, "
                "mode = excluded.mode",
                {"ref": self._account_ref, "account": broker_account, "mode": mode},
            )

    def _tell_versions(self, cursor: psycopg.Cursor[DictRow]) -> None:
        """Say what the writer runs, so that decisions of another code or of other settings are not approved."""
        if self._versions is None:
            return
        cursor.execute(
            "insert into oms.running (account_ref, code, configuration, schema_revision) "
            "select %(ref)s, %(code)s, %(configuration)s, version_num from platform.schema_version "
            "on conflict (account_ref) do update set (code, configuration, schema_revision, at) "
            "= (excluded.code, excluded.configuration, excluded.schema_revision, clock_timestamp())",
            {"ref": self._account_ref, "code": self._versions.code, "configuration": self._versions.configuration},
        )

    def acquire(self, holder: str, lease_s: float) -> int | None:
        """Become the writer and return the new epoch, or None while another holder is alive.

        A holder is alive while its database session is, and for `lease_s` after its last renewal.
        """
        self.release()
        with transaction(self._database) as cursor:
            cursor.execute(
                "insert into oms.account (account_ref) values (%s) on conflict do nothing", (self._account_ref,)
            )
        is_alone = self._is_alone()
        with transaction(self._database) as cursor:
            taken = cursor.execute(
                "insert into oms.writer_lease as l (account_ref, epoch, holder) values (%(ref)s, 1, %(holder)s) "
                "on conflict (account_ref) do update set epoch = l.epoch + 1, holder = excluded.holder, "
                "renewed_at = clock_timestamp() "
                "where %(is_alone)s or l.renewed_at < clock_timestamp() - make_interval(secs => %(lease_s)s) "
                "returning epoch",
                {"ref": self._account_ref, "holder": holder, "is_alone": is_alone, "lease_s": lease_s},
            ).fetchone()
            if taken is not None:
                self._tell_versions(cursor)
        return None if taken is None else int(taken["epoch"])

    def _is_alone(self) -> bool:
        """Open the session that holds the lock for as long as this process lives. False when another one has it."""
        self._session = self._database.open()
        try:
            self._session.execute("listen oms")
            row = self._session.execute(
                "select pg_try_advisory_lock(hashtext('oms.writer_lease'), hashtext(%s))", (self._account_ref,)
            ).fetchone()
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise _gone(error) from error
        return row is not None and bool(row[0])

    def renew(self, epoch: int) -> None:
        """Say that this writer lives. Raises LedgerConflict when there is a newer one."""
        with transaction(self._database) as cursor:
            cursor.execute(
                "update oms.writer_lease set renewed_at = clock_timestamp() where account_ref = %s and epoch = %s",
                (self._account_ref, epoch),
            )
            if cursor.rowcount == 0:
                raise LedgerConflict(f"epoch {epoch} of {self._account_ref} is over: another writer has the lease")

    def release(self) -> None:
        """Let the next writer in at once."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def beat(
        self, status: str, *, detail: str, epoch: int | None, market_at: datetime | None, busy_s: float = 0.0
    ) -> None:
        """Write the heartbeat row that others watch; `busy_s` is how long the present step has taken.

        A process that never held the lease, or lost it, does not write over one that has it.
        """
        with transaction(self._database) as cursor:
            cursor.execute(
                "insert into oms.heartbeat as h (account_ref, epoch, status, detail, market_at, busy_s) "
                "values (%(ref)s, %(epoch)s, %(status)s, %(detail)s, %(market_at)s, %(busy)s) "
                "on conflict (account_ref) do update set epoch = excluded.epoch, status = excluded.status, "
                "detail = excluded.detail, market_at = excluded.market_at, busy_s = excluded.busy_s, "
                "at = clock_timestamp() where excluded.epoch >= h.epoch or h.epoch is null "
                "or h.at < clock_timestamp() - interval '20 seconds'",
                {
                    "ref": self._account_ref,
                    "epoch": epoch,
                    "status": status,
                    "detail": detail[:500],
                    "market_at": market_at,
                    "busy": max(0.0, busy_s),
                },
            )

    def wait(self, timeout_s: float) -> bool:
        """Sleep until something was approved or a permission changed, at most `timeout_s`. True when woken."""
        if self._session is None:
            raise LedgerConflict(f"no lease on {self._account_ref} is held")
        try:
            for _ in self._session.notifies(timeout=timeout_s, stop_after=1):
                return True
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise _gone(error) from error
        return False


def _gone(error: psycopg.Error) -> Unavailable:
    return Unavailable(f"the platform database went away: {(str(error).splitlines() or [type(error).__name__])[0]}")

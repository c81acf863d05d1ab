"""The platform's own books of an account: opening, executions, cash events, and snapshots beside the broker's.

What goes here: rows and their sums. What does not: explaining a difference to the broker (`execution.account`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.losses import LOSSES, parse_losses
from ibkr_assets.adapters.postgres.order_rows import plain
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.ledger import AccountSnapshot, Books, CashEvent, Holding, Losses, SharesEvent, StoredSnapshot

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

_CASH = """
select
  (select coalesce(sum(c.amount_usd), 0) from oms.cash_event c
    where c.account_ref = %(ref)s and c.kind <> 'accrual')
  + (select coalesce(sum(case e.side when 'BUY' then -1 else 1 end * e.quantity * e.price - e.commission), 0)
       from oms.execution_current e where e.account_ref = %(ref)s) as cash,
  (select coalesce(sum(case c.kind when 'accrual' then c.amount_usd else -c.amount_usd end), 0)
     from oms.cash_event c where c.account_ref = %(ref)s and c.kind in ('accrual', 'dividend')) as accrued,
  (select coalesce(sum(c.amount_usd), 0) from oms.cash_event c
    where c.account_ref = %(ref)s and c.kind = 'deposit')
  + (select coalesce(sum(p.quantity * p.price_usd), 0) from oms.position_event p
      where p.account_ref = %(ref)s and p.is_paid_in) as paid_in,
  exists (select from oms.cash_event c where c.account_ref = %(ref)s and c.kind = 'opening') as is_opened
"""

_HOLDINGS = """
select conid, min(symbol) as symbol, sum(quantity) as quantity from (
  select conid, symbol, case side when 'BUY' then quantity else -quantity end as quantity
    from oms.execution_current where account_ref = %(ref)s
  union all
  select conid, symbol, quantity from oms.position_event where account_ref = %(ref)s
) as parts group by conid having sum(quantity) <> 0 order by conid
"""


class PostgresAccount:
    """The books of one account."""

    def __init__(self, database: Database, account_ref: str) -> None:
        self._database = database
        self._account_ref = account_ref

    def books(self) -> Books:
        """Cash, holdings and dividends owed, as the platform's rows add up."""
        values = {"ref": self._account_ref}
        with transaction(self._database) as cursor:
            cash = cursor.execute(_CASH, values).fetchone()
            holdings = cursor.execute(_HOLDINGS, values).fetchall()
        assert cash is not None
        return Books(
            is_opened=cash["is_opened"],
            cash=plain(cash["cash"]),
            accrued=plain(cash["accrued"]),
            holdings={row["conid"]: Holding(row["conid"], row["symbol"], plain(row["quantity"])) for row in holdings},
            paid_in=plain(cash["paid_in"]),
        )

    def save_opening(self, cash: Decimal, holdings: Sequence[Holding], *, market_at: datetime) -> None:
        """Store what the account held before the platform's first execution. Done once."""
        with transaction(self._database) as cursor:
            cursor.execute(
                "insert into oms.cash_event (account_ref, kind, amount_usd, detail, market_at) "
                "values (%s, 'opening', %s, 'first reconciliation', %s)",
                (self._account_ref, cash, market_at),
            )
            for holding in holdings:
                cursor.execute(
                    "insert into oms.position_event (account_ref, kind, conid, symbol, quantity, price_usd, detail, "
                    "market_at, effective_at) values (%(ref)s, 'opening', %(conid)s, %(symbol)s, %(quantity)s, "
                    "%(price)s, 'first reconciliation', %(at)s, %(at)s)",
                    {
                        "ref": self._account_ref,
                        "conid": holding.conid,
                        "symbol": holding.symbol,
                        "quantity": holding.quantity,
                        "price": holding.price,
                        "at": market_at,
                    },
                )

    def save_cash_events(self, events: Sequence[CashEvent], *, market_at: datetime) -> None:
        """Store accruals and dividends that explain the broker's cash."""
        with transaction(self._database) as cursor:
            for event in events:
                cursor.execute(
                    "insert into oms.cash_event (account_ref, kind, amount_usd, detail, market_at) "
                    "values (%s, %s, %s, %s, %s)",
                    (self._account_ref, event.kind, event.amount, event.detail, market_at),
                )

    def save_split(self, found: SharesEvent, *, market_at: datetime) -> None:
        """Store a split that the broker's figures show. What strategies hold follows from `effective_at` on."""
        with transaction(self._database) as cursor:
            cursor.execute(
                "insert into oms.position_event (account_ref, kind, conid, symbol, quantity, new_shares, old_shares, "
                "effective_at, detail, reference, market_at) "
                "values (%s, 'split', %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    self._account_ref,
                    found.conid,
                    found.symbol,
                    found.quantity,
                    found.new,
                    found.old,
                    found.effective_at,
                    found.detail,
                    Jsonb(found.reference),
                    market_at,
                ),
            )

    def save_snapshot(self, snapshot: AccountSnapshot, *, epoch: int) -> None:
        """Store a snapshot; the newest one is the NAV that orders are sized on."""
        with transaction(self._database) as cursor:
            cursor.execute(
                "insert into oms.account_snapshot (account_ref, epoch, market_at, cash_usd, accrued_dividends_usd, "
                "positions_value_usd, nav_platform_usd, nav_broker_usd, broker_cash_usd, "
                "broker_settled_cash_usd, positions, paid_in_usd) "
                "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s - coalesce((select sum(p.paid_in_usd) "
                "from oms.account_snapshot p where p.account_ref = %s and p.paid_in_usd <> 0), 0))",
                (
                    self._account_ref,
                    epoch,
                    snapshot.market_at,
                    snapshot.cash,
                    snapshot.accrued_dividends,
                    snapshot.positions_value,
                    snapshot.nav_platform,
                    snapshot.nav_broker,
                    snapshot.broker_cash,
                    snapshot.broker_settled_cash,
                    Jsonb(snapshot.positions),
                    snapshot.paid_in,
                    self._account_ref,
                ),
            )

    def last_snapshot(self) -> StoredSnapshot | None:
        """The newest snapshot, or None before the first."""
        with transaction(self._database) as cursor:
            row = cursor.execute(
                "select snapshot_id, market_at, positions from oms.account_snapshot where account_ref = %s "
                "order by snapshot_id desc limit 1",
                (self._account_ref,),
            ).fetchone()
        return None if row is None else StoredSnapshot(row["snapshot_id"], row["market_at"], row["positions"])

    def save_day(self, session_date: date, snapshot_id: int) -> bool:
        """Store the snapshot that a session ended with. Returns False where it has one already."""
        with transaction(self._database) as cursor:
            cursor.execute(
                "insert into oms.nav_day (account_ref, session_date, snapshot_id) values (%s, %s, %s) "
                "on conflict do nothing",
                (self._account_ref, session_date, snapshot_id),
            )
            return cursor.rowcount == 1

    def losses(self, day: datetime) -> Losses | None:
        """What was lost since `day` began (aware), and from the highest; None before the first snapshot."""
        with transaction(self._database) as cursor:
            return parse_losses(cursor.execute(LOSSES, {"account": self._account_ref, "day": day}).fetchall())

"""What one writer works with while it holds the lease of one account.

What goes here: the values and doors that every step of the submitter needs. A new lease makes a new seat: nothing
that was known under an older epoch is carried over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ibkr_assets.domain.broker import OrderTicket
from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.risk.limits import Limits

if TYPE_CHECKING:
    from ibkr_assets.domain.order import Mode
    from ibkr_assets.execution.ledger import AccountLedger
    from ibkr_assets.ports import Broker, Clock, IntentRecord

log = logging.getLogger("ibkr_assets.submitter")

NEW_YORK = ZoneInfo("America/New_York")
#: Real seconds between two reads of the order list, or of the executions: IBKR allows one in five.
LIST_EVERY_S = 5.1
#: Real seconds between two tries to start while a peer is away, at most; a person is waited for at this pace too, so
#: that a dead login is not hammered.
LONGEST_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class SubmitterOptions:
    """How the submitter behaves. All times are real seconds, money is in USD.

    `settle_s` is longer than any call that may still be on its way; `list_every_s` keeps IBKR's pacing of the order
    list and the executions (one call in five seconds each). Doubt that lasts `doubt_alarm_s` is an alarm; after
    `doubt_kill_s` the account's permission to trade is withdrawn. Neither ends the doubt. `reset_zone` is the region
    in whose nights IBKR resets, `calendar` the MIC of the exchange whose sessions end a day of the account; `limits`
    are those that a loss, and with `hears_departure` every order that is about to leave, are held against. `salt` is
    that of the client order ids.
    """

    max_order_value_usd: Decimal
    price_collar_fraction: Decimal
    kill_file: Path
    settle_s: float = 30.0
    lease_s: float = 20.0
    poll_interval_s: float = 0.1
    list_every_s: float = LIST_EVERY_S
    longest_wait_s: float = LONGEST_WAIT_S
    idle_list_every_s: float = 30.0
    status_every_s: float = 0.35
    snapshot_every_s: float = 60.0
    keep_alive_every_s: float = 55.0
    send_within_s: float = 2.0
    may_resend: bool = False
    doubt_alarm_s: float = 300.0
    doubt_kill_s: float = 900.0
    reset_zone: ZoneInfo = NEW_YORK
    calendar: str = "XNYS"
    limits: Limits = field(default_factory=Limits)
    hears_departure: bool = False
    salt: str = "default"


@dataclass(frozen=True, slots=True)
class Seat:
    """One writer's place: account, epoch, doors. `describe` gives a ticket's request without the account's id."""

    account: str
    account_ref: str
    mode: Mode
    epoch: int
    gateway_session: str
    broker: Broker
    ledger: AccountLedger
    clock: Clock
    options: SubmitterOptions
    describe: Callable[[OrderTicket], dict[str, Any]]
    monotonic: Callable[[], float]
    openings: int = 0

    def require_session(self) -> None:
        """Raises Unavailable when the brokerage session is not the one that this seat began with."""
        if self.broker.openings() != self.openings:
            raise Unavailable("the brokerage session was opened anew; everything is looked up again")

    def ticket(self, record: IntentRecord) -> OrderTicket:
        """The order as the broker gets it."""
        intent = record.intent
        return OrderTicket(
            account=self.account,
            client_order_id=record.client_order_id,
            conid=intent.conid,
            symbol=intent.symbol,
            side=intent.side,
            order_type=intent.order_type,
            quantity=intent.quantity,
            limit_price=intent.limit_price,
            time_in_force=intent.time_in_force,
        )

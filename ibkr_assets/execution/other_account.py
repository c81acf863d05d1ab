"""An order of ours on an account that is not ours: nothing more leaves, and a person is needed.

What goes here: what follows from such a sign. What does not: seeing it in an answer (`adapters.ibkr`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibkr_assets.domain.ledger import Blocks, Break
from ibkr_assets.execution.seat import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibkr_assets.execution.seat import Seat
    from ibkr_assets.ports import IntentRecord


def refuse_other_account(seat: Seat, record: IntentRecord, reason: str) -> None:
    """Stop the account: the broker speaks of this order on another one."""
    log.error("%s: %s; nothing more leaves", record.client_order_id, reason)
    detail = {"reason": reason}
    found = Break("other_account", record.client_order_id, Blocks.ACCOUNT, detail, intent_id=record.intent_id)
    seat.ledger.differences.save_break(found)
    seat.ledger.permission.kill(f"{record.client_order_id}: {reason}")


def refuse_other_accounts(seat: Seat, client_order_ids: Sequence[str]) -> None:
    """The same for orders that the order list shows on other accounts; those that are not ours are no concern."""
    if not client_order_ids:
        return
    for record in seat.ledger.sends.find(client_order_ids).values():
        refuse_other_account(seat, record, "the order list shows it on another account")

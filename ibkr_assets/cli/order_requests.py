"""Commands about one order: cancel it, look at those in doubt, and end a doubt that looks cannot.

Nothing here reaches the broker: the submitter acts on what is stored. What a request must fit is refused by the
database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.domain.errors import LedgerConflict
from ibkr_assets.domain.order import account_ref
from ibkr_assets.execution.login import current_login

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.order_requests import PostgresOrderRequests

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
Order = Annotated[str, typer.Argument(metavar="ORDER", help="its client order id, as `ledger export` prints it")]
_DOUBT_COLUMNS = ["client_order_id", "symbol", "side", "quantity", "in_doubt_s", "last_call", "looks", "next_look_s"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    orders = typer.Typer(help="Act on one order.", no_args_is_help=True)
    orders.command("cancel")(orders_cancel)
    orders.command("doubts")(orders_doubts)
    orders.command("state-absent")(orders_state_absent)
    app.add_typer(orders, name="orders")


def orders_cancel(order: Order, reason: Annotated[str, typer.Option(help="why; kept with the order")]) -> None:
    """Have the submitter cancel one order; one that has not left never leaves.

    Example: ibkr-assets orders cancel q1-... --reason "wrong size"
    """
    requests, login = _requests(), current_login()
    seen = requests.standing(order)
    requests.cancel(
        order, actor=login.name, session=login.session, reason=reason, seen_state=seen["state"],
        seen_filled=seen["filled"],
    )  # fmt: skip
    say(f"asked for {order} to be cancelled: {reason}")


def orders_doubts(as_json: AsJson = False) -> None:
    """Orders in doubt, with what is known of each and when the next look counts.

    Example: ibkr-assets orders doubts --json
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.execution.evidence import next_look_s

    settings = configuration.load()
    doubts = bootstrap.order_ledger(settings).of_account(account_ref(bootstrap.account(settings))).doubts.doubts()
    rows = [
        {
            "client_order_id": record.client_order_id, "symbol": record.intent.symbol, "side": record.intent.side,
            "quantity": str(record.intent.quantity), "in_doubt_s": round(evidence.doubt_age_s),
            "last_call": evidence.last_outcome, "looks": evidence.observations,
            "next_look_s": round(next_look_s(evidence, settle_s=settings.submitter.settle_s)),
        }
        for record, evidence in doubts
    ]  # fmt: skip
    if as_json:
        emit_json(rows)
    else:
        emit(table(rows, _DOUBT_COLUMNS) if rows else "no order is in doubt")


def orders_state_absent(
    order: Order, reason: Annotated[str, typer.Option(help="how it is known; at least ten characters, kept for ever")]
) -> None:
    """Say that an order in doubt was never placed, where a look cannot: because the position changed otherwise.

    Taken only after orders and executions were read twice, 30 seconds apart, without it. It is not sent again.

    Example: ibkr-assets orders state-absent q1-... --reason "broker's statement of 3 May has no such order"
    """
    requests, login = _requests(), current_login()
    seen = requests.standing(order)
    if seen["unknown_since"] is None:
        raise LedgerConflict(f"{order} is not in doubt: {seen['state']}")
    requests.state_absent(
        order, actor=login.name, session=login.session, reason=reason, unknown_since=seen["unknown_since"]
    )
    say(f"stated that {order} was never placed: {reason}")


def _requests() -> PostgresOrderRequests:
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.order_requests import PostgresOrderRequests

    settings = configuration.load()
    return PostgresOrderRequests(bootstrap.database(settings), account_ref(bootstrap.account(settings)))

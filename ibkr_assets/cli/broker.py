"""`ibkr-assets broker ...`: what the client understood of the gateway, as JSON.

For a person who wants to see what the platform sees. Nothing here places or cancels an order.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit_json
from ibkr_assets.domain.errors import BrokerRefusal, UnreadableAnswer

app = typer.Typer(help="What the client understood of the gateway, as JSON.", no_args_is_help=True)


def _show(what: str, **arguments: Any) -> None:
    from ibkr_assets import bootstrap

    try:
        emit_json(bootstrap.inspect(configuration.load(), what, **arguments))
    except (BrokerRefusal, UnreadableAnswer) as error:
        kind = "refused" if isinstance(error, BrokerRefusal) else "unreadable"
        emit_json({"error": {"kind": kind, "text": error.text, "status": error.status}})
        raise typer.Exit(1) from None


@app.command()
def status() -> None:
    """Both sessions of the gateway. Example: ibkr-assets broker status."""
    _show("status")


@app.command()
def accounts() -> None:
    """The gateway's accounts. Example: ibkr-assets broker accounts."""
    _show("accounts")


@app.command()
def summary() -> None:
    """The account summary. Example: ibkr-assets broker summary."""
    _show("summary")


@app.command()
def ledger() -> None:
    """Cash by currency. Example: ibkr-assets broker ledger."""
    _show("ledger")


@app.command()
def positions(
    check: Annotated[bool, typer.Option("--check", help="compare both of IBKR's endpoints")] = False,
) -> None:
    """Positions as the broker has them. Example: ibkr-assets broker positions --check."""
    _show("position_check" if check else "positions")


@app.command("orders")
def orders_() -> None:
    """The order list, read until it means something. Example: ibkr-assets broker orders."""
    _show("orders")


@app.command()
def order(order_id: Annotated[str, typer.Argument(help="the broker's order id")]) -> None:
    """One order. Example: ibkr-assets broker order 987654321."""
    _show("order", order_id=order_id)


@app.command()
def trades() -> None:
    """Executions of the last seven days. Example: ibkr-assets broker trades."""
    _show("trades")


@app.command()
def search(symbol: Annotated[str, typer.Argument(help="a US stock's symbol")]) -> None:
    """The contract of a symbol. Example: ibkr-assets broker search AAPL."""
    _show("search", symbol=symbol)


@app.command()
def history(
    conid: Annotated[int, typer.Option(help="IBKR's contract id")],
    period: Annotated[str, typer.Option(help="how far back, in IBKR's words")] = "1m",
    bar: Annotated[str, typer.Option(help="bar size, in IBKR's words")] = "1d",
) -> None:
    """Bars of one contract. Example: ibkr-assets broker history --conid 265598 --period 1m --bar 1d."""
    _show("history", conid=conid, period=period, bar=bar)


@app.command()
def snapshot(conid: Annotated[int, typer.Option(help="IBKR's contract id")]) -> None:
    """The newest quote of one contract. Example: ibkr-assets broker snapshot --conid 265598."""
    _show("snapshot", conid=conid)

"""Faults that change the venue: executions corrected or taken back, fills beyond the order, other people's trades.

Everything goes through the venue's own records, so a restarted gateway remembers it. What is only shown wrongly is in
`order_lists`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from ibkr_assets.simulator.answers import Answer, refusal
from ibkr_assets.simulator.faults.fault import Fault, Kind, Situation
from ibkr_assets.simulator.faults.parameters import number, text, whole, word
from ibkr_assets.simulator.tickets import Ticket

if TYPE_CHECKING:
    from ibkr_assets.simulator.venue_order import Execution, VenueOrder

_SHOWN = frozenset({"orders", "order_status"})
_TRADES, _CANCEL = frozenset({"trades"}), frozenset({"cancel"})
_CENT = Decimal("0.01")


def _has_execution(situation: Situation) -> bool:
    return _newest_execution(situation) is not None


def _newest_execution(situation: Situation) -> Execution | None:
    """The newest execution of an order that came over this gateway."""
    return next((e for e in reversed(situation.gateway.venue.book.executions) if e.order_id is not None), None)


def _newest_id(situation: Situation) -> str | None:
    execution = _newest_execution(situation)
    return None if execution is None else execution.execution_id


def _is_live(situation: Situation) -> bool:
    return bool(situation.gateway.venue.book.live_orders())


def _newest_order(situation: Situation) -> VenueOrder:
    return situation.gateway.venue.book.live_orders()[-1]


def _fill(situation: Situation, order: VenueOrder, quantity: Decimal) -> None:
    venue = situation.gateway.venue
    price = order.price or venue.last_price(order.conid)
    venue.execute_by_hand(order.conid, order.side, quantity, price, order)


def _correct(situation: Situation) -> None:
    execution = _newest_execution(situation)
    assert execution is not None
    quantity, price = situation.options["quantity"], situation.options["price"]
    if quantity is None and price is None:
        price = execution.price + _CENT
    situation.gateway.venue.bust(
        execution,
        quantity=None if quantity is None else Decimal(quantity),
        price=None if price is None else Decimal(str(price)),
    )


def _is_bust_shown(situation: Situation) -> bool:
    return "busted" in situation.memory or (
        bool(situation.handled.body) and situation.handled.body[-1]["execution_id"] == _newest_id(situation)
    )


def _bust(situation: Situation) -> Answer:
    """The first time the execution is taken back; from then on its correction is shown with minus its quantity."""
    if "busted" not in situation.memory:
        execution = _newest_execution(situation)
        assert execution is not None
        rows = situation.handled.body
        row = next(r for r in rows if r["execution_id"] == execution.execution_id)
        head, _, revision = execution.execution_id.rpartition(".")
        situation.memory["row"] = row | {
            "execution_id": f"{head}.{int(revision) + 1:02d}", "size": -row["size"], "net_amount": -row["net_amount"],
        }  # fmt: skip
        situation.memory["busted"] = execution.execution_id
        situation.gateway.venue.bust(execution)
    kept = [r for r in situation.handled.body if r["execution_id"] != situation.memory["busted"]]
    return Answer([*kept, situation.memory["row"]] if situation.options["form"] == "negative" else kept)


def _partly_and_cancelled(situation: Situation) -> None:
    order = _newest_order(situation)
    _fill(situation, order, min(Decimal(situation.options["filled"]), order.remaining - 1))
    situation.gateway.venue.cancel(order, "cancelled by the exchange")


def _fills_anyway(situation: Situation) -> Answer:
    order = situation.gateway.venue.book.orders.get(int(situation.path["order_id"]))
    if order is not None and order.is_live:
        _fill(situation, order, order.remaining)
    account = situation.gateway.options.account
    return Answer(
        {
            "msg": "Request was submitted", "order_id": int(situation.path["order_id"]),
            "conid": -1 if order is None else order.conid, "account": account,
        }
    )  # fmt: skip


def _cancel_refused(situation: Situation) -> Answer:
    if situation.options["form"] == "unknown":
        return refusal(400, f"OrderID {situation.path['order_id']} doesn't exist")
    return refusal(400, "Order is inactive")


def _over_fill(situation: Situation) -> None:
    order = _newest_order(situation)
    _fill(situation, order, order.remaining + Decimal(situation.options["excess"]))


def _somebody_trades(situation: Situation) -> None:
    options, venue = situation.options, situation.gateway.venue
    conid = options["conid"] or min(situation.gateway.tape.contracts)
    quantity = Decimal(options["quantity"])
    if options["form"] == "order":
        # Far from the market, so that it works on instead of filling.
        price = (venue.last_price(conid) * Decimal("0.5")).quantize(_CENT)
        venue.submit(Ticket(options["order_ref"], conid, "BUY", "LMT", quantity, price, None, "GTC"))
    else:
        order = venue.submit(Ticket(options["order_ref"], conid, "BUY", "MKT", quantity, None, None, "DAY"))
        venue.execute_by_hand(conid, "BUY", quantity, venue.last_price(conid), order)


_SOMEBODY = {
    "form": word("order", "order", "fill"), "conid": whole(None, least=1), "quantity": whole(7, least=1),
    "order_ref": text(None),
}  # fmt: skip

FAULTS = (
    Fault(
        "F35", "an execution is corrected", Kind.BEFORE, _TRADES, _correct,
        {"quantity": whole(None, least=1), "price": number(None, least=0.01)}, _has_execution,
    ),
    Fault(
        "F36", "an execution is taken back", Kind.ALTER, _TRADES, _bust,
        {"form": word("vanishes", "vanishes", "negative")}, _is_bust_shown, times=None,
    ),
    Fault(
        "F37", "filled in part, then cancelled", Kind.BEFORE, _SHOWN, _partly_and_cancelled,
        {"filled": whole(3, least=1)}, _is_live,
    ),
    Fault("F38", "the fill wins over the cancel", Kind.INSTEAD, _CANCEL, _fills_anyway),
    Fault(
        "F39", "cancel refused", Kind.INSTEAD, _CANCEL, _cancel_refused,
        {"form": word("inactive", "inactive", "unknown")},
    ),
    Fault(
        "F40", "filled beyond its quantity", Kind.BEFORE, _SHOWN, _over_fill, {"excess": whole(1, least=1)}, _is_live
    ),
    Fault("F42", "somebody else trades", Kind.BEFORE, _SHOWN | _TRADES, _somebody_trades, _SOMEBODY),
)  # fmt: skip

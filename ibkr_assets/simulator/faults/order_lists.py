"""Faults of what is shown of orders and executions: empty, stale, doubled, shuffled, or of another account.

The venue stays as it is; only the answer is another. What changes the venue is in `order_events`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ibkr_assets.simulator.answers import Answer, refusal
from ibkr_assets.simulator.faults.fault import Fault, Kind, Situation
from ibkr_assets.simulator.faults.parameters import flag, number, text, texts, whole, word

_ORDERS, _TRADES = frozenset({"orders"}), frozenset({"trades"})
_SHOWN = frozenset({"orders", "order_status"})
_LIVE = frozenset({"PreSubmitted", "Submitted", "PendingSubmit"})
_ENDED = frozenset({"Filled", "Cancelled"})
Row = dict[str, Any]


def _no_orders(_: Situation) -> Answer:
    return Answer({"orders": [], "snapshot": False})


def _no_trades(_: Situation) -> Answer:
    return Answer([])


def _without_ended(situation: Situation) -> Answer:
    """The list of a session that began after these orders had ended; with `working`, also those that work."""
    keeps_working = not situation.options["working"]
    return _with_rows(situation, lambda rows: [r for r in rows if keeps_working and r["status"] not in _ENDED])


def _stale(situation: Situation) -> Answer:
    """Without what came in the last seconds: real ones, by the ledger."""
    gateway = situation.gateway
    since = gateway.mono() - situation.options["lag_s"]
    news = [row for row in gateway.ledger.all_rows() if row["t_mono"] > since]
    orders = {row["order_id"] for row in news if row["event"] == "accept"}
    executions = {row["exec_id"] for row in news if row["event"] == "fill"}
    return _with_rows(
        situation,
        lambda rows: [r for r in rows if r.get("orderId") not in orders and r.get("execution_id") not in executions],
    )


def _is_filled_shown(situation: Situation) -> bool:
    played = situation.memory.get("played", 0)
    return played < len(situation.options["statuses"]) and any(_status(row) == "Filled" for row in _rows(situation))


def _out_of_order(situation: Situation) -> Answer:
    played = situation.memory["played"] = situation.memory.get("played", 0) + 1
    status = situation.options["statuses"][played - 1]

    def change(rows: list[Row]) -> list[Row]:
        return [_with_status(row, status) if _status(row) == "Filled" else row for row in rows]

    return _with_rows(situation, change)


def _again_and_again(situation: Situation) -> Answer:
    """Each execution `copies` times, in another order at every read, and only a part of them where `pages` says so."""
    options = situation.options
    chance = random.Random(f"{situation.gateway.options.seed}/{situation.strike}")  # noqa: S311 - reproducible

    def change(rows: list[Row]) -> list[Row]:
        part = [
            row for number, row in enumerate(rows) if number % options["pages"] == situation.strike % options["pages"]
        ]
        made = [dict(row) for row in part for _ in range(options["copies"])]
        if options["shuffled"]:
            chance.shuffle(made)
        return made

    return _with_rows(situation, change)


def _executions_first(situation: Situation) -> Answer:
    """An order that has traded is not shown."""
    if situation.route == "order_status":
        is_traded = any(_status(row) == "Filled" or float(row["cum_fill"]) > 0 for row in _rows(situation))
        return refusal(503, "Service Unavailable") if is_traded else situation.handled
    return _with_rows(situation, lambda rows: [row for row in rows if not float(row["filledQuantity"])])


def _inactive(situation: Situation) -> Answer:
    reason = situation.options["text"]

    def change(rows: list[Row]) -> list[Row]:
        return [
            _with_status(row, "Inactive") | {"order_cancellation_by_system_reason": reason}
            if _status(row) in _LIVE
            else row
            for row in rows
        ]

    return _with_rows(situation, change)


def _other_account(situation: Situation) -> Answer:
    other = situation.options["account"]
    if situation.route == "accounts":
        body = situation.handled.body
        accounts = [other, *body["accounts"]] if situation.options["form"] == "first" else [other]
        aliases = dict.fromkeys(accounts, "") | {account: account for account in accounts}
        return replace(
            situation.handled,
            body=body | {"accounts": accounts, "aliases": aliases, "selectedAccount": other},
        )
    names = {"orders": ("acct", "account"), "trades": ("account", "accountCode")}.get(situation.route, ("account",))
    return _with_rows(situation, lambda rows: [row | dict.fromkeys(names, other) for row in rows])


def _has_rows(situation: Situation) -> bool:
    if situation.route == "accounts":
        return "accounts" in situation.handled.body
    if situation.route in ("submit", "reply"):
        return any("order_id" in row for row in _rows(situation))
    return bool(_rows(situation))


def _rows(situation: Situation) -> list[Row]:
    """The rows of a list, or the one object of a status answer; none of a refusal."""
    body: Any = situation.handled.body
    if isinstance(body, list):
        return body
    if not isinstance(body, dict):
        return []
    if "orders" in body:
        return list(body["orders"])
    return [body] if "order_status" in body else []


def _with_rows(situation: Situation, change: Callable[[list[Row]], list[Row]]) -> Answer:
    body: Any = situation.handled.body
    rows = change(_rows(situation))
    if isinstance(body, list):
        return replace(situation.handled, body=rows)
    if isinstance(body, dict) and "orders" in body:
        return replace(situation.handled, body=body | {"orders": rows})
    return replace(situation.handled, body=rows[0]) if rows else situation.handled


def _status(row: Row) -> str:
    return str(row.get("status") or row.get("order_status"))


def _with_status(row: Row, status: str) -> Row:
    return row | {"status" if "status" in row else "order_status": status}


FAULTS = (
    Fault("F28", "order list empty though there are orders", Kind.INSTEAD, _ORDERS, _no_orders),
    Fault(
        "F29", "orders of the old session are not listed", Kind.ALTER, _ORDERS, _without_ended,
        {"working": flag(default=False)}, times=None,
    ),
    Fault("F30", "list of trades empty though there are trades", Kind.INSTEAD, _TRADES, _no_trades),
    Fault(
        "F31", "lists without the last seconds", Kind.ALTER, _ORDERS | _TRADES, _stale, {"lag_s": number(30.0)},
        times=None,
    ),
    Fault(
        "F32", "states of an order out of order", Kind.ALTER, _SHOWN, _out_of_order,
        {"statuses": texts(("Filled", "Submitted", "PendingSubmit"))}, _is_filled_shown, times=None,
    ),
    Fault(
        "F33", "executions again, shuffled, in parts", Kind.ALTER, _TRADES, _again_and_again,
        {"copies": whole(2, least=1, most=5), "shuffled": flag(default=True), "pages": whole(1, least=1)}, _has_rows,
        times=None,
    ),
    Fault("F34", "executions shown before their order", Kind.ALTER, _SHOWN, _executions_first, times=None),
    Fault(
        "F41", "an order is inactive", Kind.ALTER, _SHOWN, _inactive,
        {"text": text("The order is held until the contract opens")}, times=None,
    ),
    Fault(
        "F43", "another account in an answer", Kind.ALTER, frozenset({"submit", "reply"}), _other_account,
        {"account": text("DU9999999"), "form": word("first", "first", "only")}, _has_rows,
    ),
)  # fmt: skip

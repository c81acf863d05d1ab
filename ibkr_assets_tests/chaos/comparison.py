"""Both ledgers beside each other, row by row, once everything is calm."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.order import CLIENT_ORDER_ID_PREFIX, OrderState
from ibkr_assets_tests.gateway import RunningGateway
from ibkr_assets_tests.simulator.clients import connect

#: How an order may end that the gateway took.
_TAKEN = frozenset({OrderState.FILLED, OrderState.CANCELLED})


@dataclass
class Comparison:
    """What is wrong, in words, and what was counted."""

    duplicates: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    refused_again: int = 0
    executions: int = 0
    sent_twice: int = 0

    @property
    def is_good(self) -> bool:
        return not (self.duplicates or self.lost or self.differences or self.violations or self.unfinished)


def compare(database: Database, gateway: RunningGateway, decision_keys: set[str]) -> Comparison:
    """Every decision, order, execution, position and dollar of both sides."""
    found = Comparison()
    rows = gateway.ledger()
    with transaction(database) as cursor:
        orders = cursor.execute(
            "select decision_key, client_order_id, state, broker_order_id, quantity, filled, conid, side, limit_price, "
            "send_count from oms.order_intent"
        ).fetchall()
        executions = cursor.execute(
            "select execution_id, client_order_id, broker_order_id, conid, side, quantity, price, commission "
            "from oms.execution_current where quantity <> 0"
        ).fetchall()
        breaks = cursor.execute(
            "select kind, subject, blocks, detail from oms.recon_break where resolved_at is null"
        ).fetchall()
    compare_orders(found, rows, orders, decision_keys)
    compare_executions(found, rows, executions)
    _compare_account(found, database, gateway)
    found.differences += [f"open difference {b['kind']} {b['subject']} {b['detail']}" for b in _blocking(breaks)]
    found.violations += [
        f"{v['id']}: {v['violations']}, such as {', '.join(v['examples'])}"
        for v in check_invariants(database)
        if v["violations"]
    ]
    return found


def _blocking(breaks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Alarms that block nothing are told, not counted: each is of something that did happen."""
    return [found for found in breaks if found["blocks"] != "nothing"]


def compare_orders(
    found: Comparison, rows: list[dict[str, Any]], orders: list[dict[str, Any]], decision_keys: set[str]
) -> None:
    """What was accepted, and how it ended, beside the rows of the intents."""
    ours = [row for row in rows if (row["coid"] or "").startswith(CLIENT_ORDER_ID_PREFIX)]
    accepted = [row for row in ours if row["event"] == "accept"]
    times = Counter(row["coid"] for row in accepted)
    found.accepted = len(accepted)
    found.refused_again = sum(row["event"] == "dup_refused" for row in ours)
    found.duplicates += [f"{coid} was accepted {count} times" for coid, count in times.items() if count > 1]
    stored = {row["decision_key"] for row in orders}
    found.lost += [f"no row of {key}" for key in sorted(decision_keys - stored)]
    found.differences += [f"a row that nobody decided: {key}" for key in sorted(stored - decision_keys)]
    by_coid = {row["client_order_id"]: row for row in orders}
    found.lost += [f"{coid} is at the gateway alone" for coid in times if coid not in by_coid]
    filled: dict[str, Decimal] = {}
    for row in ours:
        if row["event"] in ("fill", "bust"):
            sign = 1 if row["event"] == "fill" else -1
            filled[row["coid"]] = filled.get(row["coid"], Decimal(0)) + sign * Decimal(str(row["qty"]))
    theirs = {row["coid"]: row for row in accepted}
    cancelled = {row["coid"] for row in ours if row["event"] == "cancel"}
    for coid, order in by_coid.items():
        state = OrderState(order["state"])
        found.states[state] += 1
        found.sent_twice += order["send_count"] > 1
        if not state.is_terminal:
            found.unfinished.append(f"{coid} is {state}")
        if order["filled"] != filled.get(coid, 0):
            found.differences.append(f"{coid} filled {order['filled']}, at the gateway {filled.get(coid, 0)}")
        if coid not in theirs:
            if state in _TAKEN:
                found.differences.append(f"{coid} is {state}, and the gateway never took it")
            continue
        _compare_order(found, order, theirs[coid], filled.get(coid, Decimal(0)), is_cancelled=coid in cancelled)


def _compare_order(
    found: Comparison, order: dict[str, Any], row: dict[str, Any], filled: Decimal, *, is_cancelled: bool
) -> None:
    coid = order["client_order_id"]
    quantity = Decimal(str(row["qty"]))
    state = "CANCELLED" if is_cancelled else "FILLED" if filled >= quantity else "at work"
    pairs = {
        "state": (order["state"], state),
        "broker order id": (order["broker_order_id"], str(row["order_id"])),
        "conid": (order["conid"], row["conid"]),
        "side": (order["side"], row["side"]),
        "quantity": (order["quantity"], quantity),
        "limit": (order["limit_price"], None if row["price"] is None else Decimal(str(row["price"]))),
    }
    if order["state"] not in _TAKEN:
        found.lost.append(f"{coid} is {order['state']}, at the gateway {state}")
    found.differences += [f"{coid} {name}: {a}, at the gateway {b}" for name, (a, b) in pairs.items() if a != b]


def compare_executions(found: Comparison, rows: list[dict[str, Any]], executions: list[dict[str, Any]]) -> None:
    """Every execution that stands, field by field."""
    busted = {row["exec_id"] for row in rows if row["event"] == "bust"}
    theirs = {
        row["exec_id"]: (
            row["coid"], str(row["order_id"]), row["conid"], row["side"], Decimal(str(row["qty"])),
            Decimal(str(row["price"])),
        )
        for row in rows
        if row["event"] == "fill" and row["exec_id"] not in busted
    }  # fmt: skip
    ours = {
        row["execution_id"]: (
            row["client_order_id"], row["broker_order_id"], row["conid"], row["side"], row["quantity"], row["price"],
        )
        for row in executions
    }  # fmt: skip
    found.executions = len(theirs)
    found.lost += [f"execution {name} {theirs[name]} is not booked" for name in sorted(theirs.keys() - ours.keys())]
    found.differences += [f"execution {name} is not the gateway's" for name in sorted(ours.keys() - theirs.keys())]
    found.differences += [
        f"execution {name}: {ours[name]}, at the gateway {theirs[name]}"
        for name in sorted(ours.keys() & theirs.keys())
        if ours[name] != theirs[name]
    ]


def _compare_account(found: Comparison, database: Database, gateway: RunningGateway) -> None:
    from ibkr_assets.adapters.postgres.ledger import PostgresLedger
    from ibkr_assets.domain.order import account_ref

    books = PostgresLedger(database).of_account(account_ref(gateway.account)).account.books()
    with connect(gateway) as api:
        api.get("/portfolio/accounts")
        cash = Decimal(str(api.get(f"/portfolio/{api.account}/ledger").json()["BASE"]["cashbalance"]))
        rows = api.get(f"/portfolio2/{api.account}/positions").json()
    held = {int(row["conid"]): Decimal(str(row["position"])) for row in rows if row["position"]}
    ours = {conid: holding.quantity for conid, holding in books.holdings.items()}
    found.differences += [
        f"position {conid}: {ours.get(conid, 0)}, at the gateway {held.get(conid, 0)}"
        for conid in sorted(held.keys() | ours.keys())
        if held.get(conid, 0) != ours.get(conid, 0)
    ]
    if abs(cash - books.cash) > Decimal("0.005"):
        found.differences.append(f"cash {books.cash}, at the gateway {cash}")

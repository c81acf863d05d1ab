"""Numbers in every shape that a gateway may give them, read through the models: exactly, or refused; never guessed.

What a shape means is known here from how it was made, not from the code that reads it.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.adapters.ibkr import parse, payloads
from ibkr_assets.adapters.ibkr.transport import Answer
from ibkr_assets.domain.errors import UnreadableAnswer

ACCOUNT = "DU1234567"
TRADE = {
    "execution_id": "0000e0d5.1.01.01", "symbol": "IBM", "side": "B", "size": 10, "price": "100.00",
    "commission": "1.00", "conid": 8314, "order_id": 7, "trade_time_r": 1349092800000, "account": ACCOUNT,
}  # fmt: skip
ORDER = {
    "orderId": 7, "acct": ACCOUNT, "conid": 8314, "side": "BUY", "status": "Submitted", "totalSize": 10,
    "filledQuantity": 0, "remainingQuantity": 10,
}  # fmt: skip
LEDGER = {
    "currency": "USD", "cashbalance": 1, "settledcash": 1, "dividends": 0, "stockmarketvalue": 0,
    "netliquidationvalue": 1, "timestamp": 1349092800,
}  # fmt: skip
POSITION = {
    "conid": "8314", "description": "IBM", "position": 10, "avgPrice": 100, "marketPrice": 100, "currency": "USD",
}  # fmt: skip

#: Amounts that money can have, up to four decimals; made from whole numbers so that nothing is rounded on the way.
AMOUNTS = st.builds(lambda units, places: Decimal(units).scaleb(-places), st.integers(1, 10**12), st.integers(0, 4))


def spellings(amount: Decimal) -> list[str]:
    """JSON literals that all say this amount."""
    plain = f"{amount:f}"
    return [plain, f'"{plain}"', f'"{amount:,f}"', f'" {plain} "', f"{amount:e}", f'"{amount:e}"', f'"+{plain}"']


#: JSON literals that say no amount at all, whatever one may take them for.
NONSENSE = st.sampled_from([
    "1e309", "-1e309", '"1e309"', '"1e99999"', "NaN", '"NaN"', "Infinity", '"Infinity"', "true", "[]", "{}", '"1,30"',
    '"1,3000"', '"1.2.3"', '"C168.42"', '"H12.3"', '"12.4 M"', '"12.4Q"', '"0x10"', '"1_000"', '"١٢"', '"--1"',
    '"1 USD"', '"-"', '"."', '","', '"1e"', "1000000000000000",
])  # fmt: skip


def read(payload: dict[str, Any], field: str, literal: str) -> Any:
    """The payload as it comes over the wire, with this literal for one field."""
    mark = "\ue000"
    body = json.dumps(payload | {field: mark}).replace(json.dumps(mark), literal)
    return Answer(200, "application/json", body.encode()).parsed()


@given(AMOUNTS, st.sampled_from(["size", "price", "commission"]), st.data())
def test_an_execution_has_the_amount_that_was_written(amount: Decimal, field: str, data: st.DataObject) -> None:
    for literal in data.draw(st.permutations(spellings(amount))):
        (fill,) = parse.fills([payloads.read(payloads.Trade, read(TRADE, field, literal), "trade")], ACCOUNT)
        assert {"size": fill.quantity, "price": fill.price, "commission": fill.commission}[field] == amount, literal


@given(AMOUNTS)
def test_an_order_a_balance_and_a_position_have_the_amounts_that_were_written(amount: Decimal) -> None:
    for literal in spellings(amount):
        orders = {"orders": [read(ORDER, "totalSize", literal)], "snapshot": True}
        (order,) = parse.orders_read(payloads.read(payloads.LiveOrders, orders, "orders"), ACCOUNT).orders
        assert order.quantity == amount, literal
        row = payloads.read(payloads.LedgerRow, read(LEDGER, "cashbalance", literal), "ledger")
        assert parse.cash_ledger({"USD": row}, None).cash == amount, literal
        held = payloads.read(payloads.Position, read(POSITION, "position", literal), "positions")
        assert parse.position(held).quantity == amount, literal


@given(AMOUNTS, st.sampled_from(["", "C", "H"]))
def test_a_price_of_a_snapshot_has_its_mark_and_its_amount(amount: Decimal, mark: str) -> None:
    row = {"conid": 8314, "_updated": 1349092800000, "31": f"{mark}{amount:,f}", "6509": "RpB"}
    quote = parse.quote(payloads.read(payloads.SnapshotRow, row, "snapshot"))
    assert quote is not None
    assert (quote.last, quote.is_halted) == (amount, mark == "H")


def is_refused(model: Any, payload: dict[str, Any], field: str, literal: str) -> bool:
    try:
        payloads.read(model, read(payload, field, literal), "answer")
    except UnreadableAnswer:
        return True
    return False


@given(NONSENSE, st.sampled_from(["size", "price", "commission"]))
def test_what_is_no_amount_of_an_execution_is_refused(literal: str, field: str) -> None:
    assert is_refused(payloads.Trade, TRADE, field, literal)


@given(NONSENSE, st.sampled_from(["filledQuantity", "totalSize"]))
def test_what_is_no_quantity_of_an_order_is_refused(literal: str, field: str) -> None:
    assert is_refused(payloads.LiveOrder, ORDER, field, literal)


@given(NONSENSE, st.sampled_from(["cashbalance", "settledcash", "netliquidationvalue"]))
def test_what_is_no_amount_of_a_balance_is_refused(literal: str, field: str) -> None:
    assert is_refused(payloads.LedgerRow, LEDGER, field, literal)


@given(st.text(st.characters(codec="utf-8"), max_size=12), st.sampled_from(["size", "price"]))
def test_any_text_for_a_number_is_a_number_or_refused_but_nothing_else_happens(text: str, field: str) -> None:
    try:
        trade = payloads.read(payloads.Trade, TRADE | {field: text}, "trade")
    except UnreadableAnswer:
        return
    value = trade.size if field == "size" else trade.price
    assert value.is_finite()
    assert any(c in "0123456789" for c in text)


@given(st.integers(1, 10**10))
def test_an_id_is_the_same_as_number_text_and_text_with_an_exchange(conid: int) -> None:
    for form in (conid, str(conid), f"{conid}@ARCA", f"{conid}.0"):
        assert payloads.read(payloads.Trade, TRADE | {"conid": form}, "trade").conid == conid

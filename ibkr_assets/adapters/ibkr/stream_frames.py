"""Frames of IBKR's websocket, read and written, and what their deltas add up to.

What goes here: one frame at a time, and rows merged by order id. The connection itself goes
to `stream`; what a change is good for is the caller's question. Nothing here keeps an account id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ibkr_assets.adapters.ibkr import parse, payloads
from ibkr_assets.adapters.ibkr.quotes import FIELDS
from ibkr_assets.domain.broker import Quote
from ibkr_assets.domain.errors import UnreadableAnswer

TIC = "tic"
SUBSCRIBE_ORDERS = "sor+{}"
#: Executions of today are told first, then new ones: which are new is known by their ids.
SUBSCRIBE_TRADES = 'str+{"realtimeUpdatesOnly":false,"days":1}'
_SNAPSHOT_KEYS = frozenset({*FIELDS.split(","), "_updated"})


def subscribe_quotes(conid: int) -> str:
    """The frame that opens, or renews, the quotes of a contract."""
    return f"smd+{conid}+{json.dumps({'fields': FIELDS.split(',')}, separators=(',', ':'))}"


def unsubscribe_quotes(conid: int) -> str:
    """The frame that closes the quotes of a contract."""
    return f"umd+{conid}+{{}}"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame from the gateway: its topic without the target, and the whole of it. No topic: `topic` is empty."""

    topic: str
    value: dict[str, Any]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of `args`, which is an array for some topics and an object for others."""
        args = self.value.get("args")
        return [row for row in (args if isinstance(args, list) else [args]) if isinstance(row, dict)]


def read_frame(message: str | bytes) -> Frame | None:
    """A frame, or None for what is not a JSON object (an echo). Fractions are read exactly."""
    try:
        value = json.loads(message, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    topic = value.get("topic")
    return Frame(topic.split("+")[0] if isinstance(topic, str) else "", value)


class _OrderDelta(payloads._Payload):  # noqa: SLF001 - one configuration for all of IBKR's rows
    """A row of `sor`: whose it is, which order, and what changed."""

    orderId: payloads.Whole  # noqa: N815
    acct: payloads.Text = None
    status: payloads.Text = None
    filledQuantity: payloads.OptionalNumber = None  # noqa: N815


class _Execution(payloads._Payload):  # noqa: SLF001
    """A row of `str`, as far as a hint needs it."""

    execution_id: str
    account: payloads.Text = None
    accountCode: payloads.Text = None  # noqa: N815


class Merged:
    """What frames have told about one account: orders by id and quotes of one connection, executions of all."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._orders: dict[int, tuple[str | None, Decimal]] = {}
        self._executions: set[str] = set()
        self._quotes: dict[int, dict[str, Any]] = {}

    def begin(self) -> None:
        """A new connection: it tells orders and quotes from the start, and repeats executions that are known."""
        self._orders = {}
        self._quotes = {}

    def orders(self, rows: Sequence[dict[str, Any]]) -> tuple[set[str], bool]:
        """Merge rows of `sor`. Returns the ids of orders that are not as they were, and whether one has more fills.

        Raises UnreadableAnswer for a row that is none.
        """
        changed: set[str] = set()
        has_fills = False
        for row in payloads.read(list[_OrderDelta], list(rows), "sor"):
            if row.acct not in (None, self._account):
                continue
            status, filled = self._orders.get(row.orderId, (None, Decimal(0)))
            merged = (
                status if row.status is None else row.status,
                filled if row.filledQuantity is None else row.filledQuantity,
            )
            if self._orders.get(row.orderId) != merged:
                changed.add(str(row.orderId))
                has_fills = has_fills or merged[1] > filled
            self._orders[row.orderId] = merged
        return changed, has_fills

    def executions(self, rows: Sequence[dict[str, Any]]) -> bool:
        """Merge rows of `str`, which repeats executions. Returns whether one is new."""
        new = {
            row.execution_id
            for row in payloads.read(list[_Execution], list(rows), "str")
            if (row.account or row.accountCode) in (None, self._account)
        } - self._executions
        self._executions |= new
        return bool(new)

    def quote(self, value: dict[str, Any]) -> None:
        """Merge a frame of `smd`, which holds only what changed."""
        conid = value.get("conid")
        if isinstance(conid, int):
            self._quotes.setdefault(conid, {"conid": conid}).update(
                {key: item for key, item in value.items() if key in _SNAPSHOT_KEYS}
            )

    def quotes(self) -> dict[int, Quote]:
        """Quotes by conid, as far as they were told; what cannot be read is left out."""
        found = {}
        for conid, value in list(self._quotes.items()):
            try:
                quote = parse.quote(payloads.read(payloads.SnapshotRow, dict(value), "smd"))
            except UnreadableAnswer:
                continue
            if quote is not None:
                found[conid] = quote
        return found

"""The websocket's language: frames of a client to subscriptions, and what is said when that does not work.

`topic+target+{json}` opens a subscription and the same with `u` closes it. What a subscription tells is its feed's
work, the socket is `streams`'.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ibkr_assets.simulator.face import history
from ibkr_assets.simulator.face.exchange import BadRequest, Call
from ibkr_assets.simulator.face.feeds_account import BundleFeed, PnlFeed, ledger_rows, summary_rows
from ibkr_assets.simulator.face.feeds_orders import OrdersFeed, TradesFeed
from ibkr_assets.simulator.face.feeds_quotes import HistoryFeed, LadderFeed, QuotesFeed
from ibkr_assets.simulator.face.snapshots import open_line
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.pacing import HISTORY_CONCURRENT
from ibkr_assets.simulator.stream_hub import Feed, StreamConnection

_FIRST_SERVER_ID = 20_962_329
_TRADE_DAYS = 7
_DEFAULT_FIELDS = ("31", "84", "86")
_WITHOUT_BROKERAGE = frozenset({"spl", "ssd", "sld"})


class StreamRefusal(Exception):
    """The subscription cannot be; the text is for the client."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A frame of a client: `smd+265598+{"fields": [...]}` is topic, target and arguments."""

    topic: str
    target: str
    rest: str

    @classmethod
    def parse(cls, text: str) -> Wish:
        """Any text is one; whether it means something is told later."""
        topic, _, rest = text.strip().partition("+")
        if rest.startswith("{"):
            return cls(topic, "", rest)
        target, _, rest = rest.partition("+")
        return cls(topic, target, rest)

    def arguments(self) -> dict[str, Any]:
        """The JSON object at the end; none is an empty one. Raises StreamRefusal."""
        if not self.rest.strip():
            return {}
        try:
            value = json.loads(self.rest)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise StreamRefusal(f"arguments are not a JSON object: {self.rest[:100]}")
        return value


def subscribe(gateway: Gateway, connection: StreamConnection, wish: Wish, mono: float) -> None:
    """Open what a client wants. Raises StreamRefusal."""
    opener = _OPENERS.get(wish.topic)
    if opener is None:
        raise StreamRefusal(f"unknown topic: {wish.topic[:40]}")
    if wish.topic not in _WITHOUT_BROKERAGE and not gateway.session.is_ready:
        raise StreamRefusal("no bridge")
    connection.subscribe(*opener(gateway, connection, wish, mono), mono)


def unsubscribe(connection: StreamConnection, wish: Wish) -> None:
    """Close it again, and say so where IBKR does. Raises StreamRefusal when it is not open."""
    topic = "s" + wish.topic[1:]
    if topic not in _OPENERS:
        raise StreamRefusal(f"unknown topic: {wish.topic[:40]}")
    key = f"{topic}+{wish.target}" if wish.target else topic
    if not connection.unsubscribe(key):
        raise StreamRefusal(f"not subscribed: {key[:80]}")
    if topic == "smh":
        connection.push({"message": f"Unsubscribed {wish.target}"})
    elif topic in _FAREWELLS:
        connection.push({"result": _FAREWELLS[topic]})


def _open_quotes(gateway: Gateway, connection: StreamConnection, wish: Wish, mono: float) -> tuple[str, Feed]:
    conid = _conid(gateway, wish.target)
    fields = wish.arguments().get("fields") or _DEFAULT_FIELDS
    if not isinstance(fields, list | tuple):
        raise StreamRefusal(f"fields: not a list: {fields}")
    key = f"smd+{conid}"
    connection.unsubscribe(key)  # its line would be closed after the new one is open
    if open_line(gateway.session.memory, conid) is None:
        raise StreamRefusal("max number of market data lines has been reached")
    return key, QuotesFeed(gateway, conid, tuple(str(name) for name in fields), mono)


def _open_history(gateway: Gateway, connection: StreamConnection, wish: Wish, _mono: float) -> tuple[str, Feed]:
    conid = _conid(gateway, wish.target)
    if sum(isinstance(feed, HistoryFeed) for feed in connection.feeds.values()) >= HISTORY_CONCURRENT:
        raise StreamRefusal("Too many history charts requests, please try again later.")
    given = wish.arguments()
    is_outside = given.get("outsideRth", given.get("outside_rth", False))
    query: dict[str, str] = {
        "conid": str(conid), "period": str(given.get("period", "1w")), "bar": str(given.get("bar", "1d")),
        "outsideRth": "true" if is_outside in (True, "true") else "false",
    }  # fmt: skip
    query |= {name: str(given[name]) for name in ("exchange", "source") if name in given}
    try:
        answer = history.history(Call(gateway, "history", {}, query, b"", connection.peer[1]))
    except BadRequest as error:
        raise StreamRefusal(str(error)) from None
    if answer.status != 200:
        raise StreamRefusal(answer.body["error"])
    connection.chart_count += 1
    server_id = str(_FIRST_SERVER_ID + connection.chart_count)
    return f"smh+{server_id}", HistoryFeed(conid, server_id, answer.body)


def _open_ladder(gateway: Gateway, _connection: StreamConnection, wish: Wish, _mono: float) -> tuple[str, Feed]:
    account = _account(gateway, wish)
    return f"sbd+{account}", LadderFeed(gateway, account, _conid(gateway, wish.rest.partition("+")[0]))


def _open_orders(gateway: Gateway, _connection: StreamConnection, wish: Wish, _mono: float) -> tuple[str, Feed]:
    filters = wish.arguments().get("filters") or ()
    return "sor", OrdersFeed(gateway, frozenset([filters] if isinstance(filters, str) else map(str, filters)))


def _open_trades(gateway: Gateway, _connection: StreamConnection, wish: Wish, _mono: float) -> tuple[str, Feed]:
    given = wish.arguments()
    days = given.get("days", 1)
    if type(days) is not int or not 0 <= days <= _TRADE_DAYS:
        raise StreamRefusal(f"days: must be in 0..{_TRADE_DAYS}: {days}")
    is_live_only = given.get("realtimeUpdatesOnly", given.get("realtime_updates_only", False)) is True
    return "str", TradesFeed(gateway, days, has_replay=not is_live_only)


def _open_pnl(gateway: Gateway, _connection: StreamConnection, _wish: Wish, _mono: float) -> tuple[str, Feed]:
    return "spl", PnlFeed(gateway)


def _open_summary(gateway: Gateway, _connection: StreamConnection, wish: Wish, _mono: float) -> tuple[str, Feed]:
    key = f"ssd+{_account(gateway, wish)}"
    keys, fields = _selection(wish)
    return key, BundleFeed(gateway, key, lambda: summary_rows(gateway, keys, fields))


def _open_ledger(gateway: Gateway, _connection: StreamConnection, wish: Wish, _mono: float) -> tuple[str, Feed]:
    key = f"sld+{_account(gateway, wish)}"
    keys, fields = _selection(wish)
    return key, BundleFeed(gateway, key, lambda: ledger_rows(gateway, keys, fields))


_Opener = Callable[[Gateway, StreamConnection, Wish, float], tuple[str, Feed]]
_OPENERS: dict[str, _Opener] = {
    "smd": _open_quotes, "smh": _open_history, "sbd": _open_ladder, "sor": _open_orders, "str": _open_trades,
    "spl": _open_pnl, "ssd": _open_summary, "sld": _open_ledger,
}  # fmt: skip
UNSUBSCRIBES = frozenset("u" + topic[1:] for topic in _OPENERS)
_FAREWELLS = {"ssd": "unsubscribed from summary", "sld": "unsubscribed from ledger"}


def _selection(wish: Wish) -> tuple[frozenset[str], frozenset[str]]:
    given = wish.arguments()
    return frozenset(map(str, given.get("keys") or ())), frozenset(map(str, given.get("fields") or ()))


def _conid(gateway: Gateway, text: str) -> int:
    head = text.partition("@")[0]
    conid = int(head) if head.isascii() and head.isdigit() else -1
    if conid not in gateway.tape.contracts:
        raise StreamRefusal(f"conid: unknown: {text[:40]}")
    return conid


def _account(gateway: Gateway, wish: Wish) -> str:
    if wish.target != gateway.options.account:
        raise StreamRefusal(f"accountId is not valid: {wish.target[:40]}")
    return wish.target

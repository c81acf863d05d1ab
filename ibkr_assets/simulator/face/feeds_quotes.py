"""What `smd`, `sbd` and `smh` tell: quotes as they move, a price ladder, and a contract's history once.

Fields are those of a snapshot (`quotes`), bars those of the history call. A subscription of quotes ends by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ibkr_assets.simulator.face.formats import millis, price_text
from ibkr_assets.simulator.face.quotes import fields_of
from ibkr_assets.simulator.face.snapshots import SERVER_ID
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.session_memory import SessionMemory
from ibkr_assets.simulator.stream_hub import Feed, Frame
from ibkr_assets.simulator.ticks import tick_at

#: Quotes are told at most this often, and for this long unless they are subscribed to again.
UPDATE_S, LIFE_S = 0.5, 900.0
_LADDER_STEPS = 10


class QuotesFeed(Feed):
    """The given fields of a contract, changed ones only. The market data line is open already."""

    def __init__(self, gateway: Gateway, conid: int, fields: tuple[str, ...], mono: float) -> None:
        self._gateway = gateway
        self._conid = conid
        self._fields = fields
        self._memory: SessionMemory = gateway.session.memory
        self._ends_at = mono + LIFE_S / gateway.options.pace
        self._next_at = mono
        self._told: dict[str, str] | None = None

    def look(self, mono: float) -> Iterator[Frame]:
        """A frame when a field changed and the last one is old enough; the first one in any case."""
        if mono < self._next_at:
            return
        known = fields_of(self._gateway, self._conid, self._fields)
        told = self._told or {}
        changed: dict[str, Any] = {name: value for name, value in known.items() if told.get(name) != value}
        if not changed and self._told is not None:
            return
        self._next_at = mono + UPDATE_S / self._gateway.options.pace
        self._told = known
        if "83" in changed:
            changed["83"] = float(changed["83"].rstrip("%"))
        yield {
            "topic": f"smd+{self._conid}", "conid": self._conid, "conidEx": str(self._conid),
            "_updated": millis(self._gateway.venue.now), "server_id": SERVER_ID, "6119": SERVER_ID, **changed,
        }  # fmt: skip

    def is_over(self, mono: float) -> bool:
        """True after a quarter of an hour."""
        return mono >= self._ends_at

    def close(self) -> None:
        """The line is free again."""
        self._memory.streams.pop(self._conid, None)


class LadderFeed(Feed):
    """Prices a tick apart around the newest one, whenever that moves."""

    def __init__(self, gateway: Gateway, account: str, conid: int) -> None:
        self._gateway = gateway
        self._topic = f"sbd+{account}+{conid}"
        self._conid = conid
        self._told: str | None = None

    def look(self, mono: float) -> Iterator[Frame]:
        """The whole ladder; an empty one where the contract has no price."""
        del mono
        last = self._gateway.tape.last_price(self._conid, self._gateway.venue.now)
        text = price_text(last.price) if last else ""
        if text == self._told:
            return
        self._told = text
        rows: list[dict[str, Any]] = []
        for step in range(_LADDER_STEPS, -_LADDER_STEPS - 1, -1) if last else ():
            assert last is not None
            row = {
                "row": len(rows), "focus": int(step == 0), "price": price_text(last.price + step * tick_at(last.price))
            }  # fmt: skip
            if step:
                row["ask" if step > 0 else "bid"] = "1,300" if step > 0 else "1,100"
            rows.append(row)
        yield {"topic": self._topic, "data": rows}


class HistoryFeed(Feed):
    """Bars, told once. The subscription stays until it is given back under its server id."""

    def __init__(self, conid: int, server_id: str, chart: dict[str, Any]) -> None:
        self._frames: list[Frame] = [
            {"topic": f"smh+{conid}", "conid": conid, "conidEx": str(conid), **chart, "serverId": server_id}
        ]

    def look(self, mono: float) -> Iterator[Frame]:
        """The one frame."""
        del mono
        frames, self._frames = self._frames, []
        yield from frames

"""Open websockets and what each has subscribed to: who is told what happened, at once, and who is let go.

What a topic tells is the work of the face's feeds, frames on sockets are `face.streams`'. A reader that does not keep
up is dropped: nothing here ever waits for one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ibkr_assets.simulator.records import Record

#: Frames that may wait for a slow reader before it is dropped.
MOST_WAITING = 500
HEARTBEAT_S = 10.0
#: At a fast pace heartbeats do not come more often than this.
_SHORTEST_HEARTBEAT_S = 0.2

Frame = Mapping[str, Any]


class Feed:
    """What one subscription tells. `needs_brokerage` False goes on without the brokerage session.

    A frame is a JSON object. `mono` is real monotonic seconds.
    """

    needs_brokerage = True

    def observe(self, record: Record) -> None:
        """A record has just changed the venue."""

    def look(self, mono: float) -> Iterable[Frame]:
        """What is to be told now, if anything."""
        del mono
        return ()

    def is_over(self, mono: float) -> bool:
        """True when the subscription has ended by itself."""
        del mono
        return False

    def close(self) -> None:
        """The subscription ends."""


class StreamConnection:
    """One websocket: its frames that wait to be sent, and its subscriptions by key."""

    def __init__(self, peer: tuple[str, int], mono: float) -> None:
        self.peer = peer
        self.session_id: str | None = None
        self.is_ready = False
        self.is_dropped = False
        self.told = 0
        self.chart_count = 0
        self.heartbeat_at = mono
        self.feeds: dict[str, Feed] = {}
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue(MOST_WAITING)
        self._dropped = asyncio.Event()

    def push(self, frame: Frame | str) -> None:
        """Have a frame sent; drops a reader for whom too many wait."""
        self._put(frame if isinstance(frame, str) else json.dumps(frame, allow_nan=False, separators=(",", ":")))

    def finish(self) -> None:
        """End the connection in order, after what waits."""
        self._put(None)

    def drop(self) -> None:
        """End the connection at once."""
        self.is_dropped = True
        self._dropped.set()

    async def until_dropped(self) -> None:
        """Return when the connection is to end at once."""
        await self._dropped.wait()

    async def next_text(self) -> str | None:
        """The next frame's text; None when the connection is to end."""
        return await self._waiting.get()

    def subscribe(self, key: str, feed: Feed, mono: float) -> None:
        """Open a subscription, in place of one with the same key, and tell at once what there is."""
        self.unsubscribe(key)
        self.feeds[key] = feed
        self.tell(feed, mono)

    def unsubscribe(self, key: str) -> bool:
        """Close a subscription; False when there is none."""
        feed = self.feeds.pop(key, None)
        if feed is not None:
            feed.close()
        return feed is not None

    def tell(self, feed: Feed, mono: float) -> None:
        """Send what a feed has to tell."""
        for frame in feed.look(mono):
            self.push(frame)

    def end_feeds(self, *, brokerage_only: bool) -> None:
        """Close every subscription, or those that need the brokerage session."""
        for key in [k for k, feed in self.feeds.items() if feed.needs_brokerage or not brokerage_only]:
            self.unsubscribe(key)

    def _put(self, text: str | None) -> None:
        try:
            self._waiting.put_nowait(text)
        except asyncio.QueueFull:
            self.drop()
        else:
            self.told += 1


class StreamHub:
    """All open websockets of a gateway. `pace` divides the time between heartbeats."""

    def __init__(self, pace: float) -> None:
        self.heartbeat_s = max(HEARTBEAT_S / pace, min(HEARTBEAT_S, _SHORTEST_HEARTBEAT_S))
        self.connections: list[StreamConnection] = []
        self._is_due = False

    def observe(self, record: Record) -> None:
        """Show a record to every feed; what they tell goes out as soon as the present call is over."""
        if not self.connections:
            return
        for connection in self.connections:
            for feed in connection.feeds.values():
                feed.observe(record)
        if not self._is_due:
            self._is_due = True
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: self.look(loop.time()))

    def look(self, mono: float) -> None:
        """Send what feeds have to tell, and close those that are over."""
        self._is_due = False
        for connection in self.connections:
            for key, feed in list(connection.feeds.items()):
                if feed.is_over(mono):
                    connection.unsubscribe(key)
                else:
                    connection.tell(feed, mono)

    def pulse(self, mono: float, wall_ms: int) -> None:
        """What time alone brings: heartbeats, with the real time of day, and quotes that moved."""
        for connection in self.connections:
            if connection.is_ready and mono >= connection.heartbeat_at:
                connection.heartbeat_at = mono + self.heartbeat_s
                connection.push({"topic": "system", "hb": wall_ms})
        self.look(mono)

    def drop_all(self) -> int:
        """End every connection at once; returns how many there were."""
        for connection in self.connections:
            connection.drop()
        return len(self.connections)

    def tell_all(self, frame: Frame) -> None:
        """Send one frame to everybody who is ready."""
        for connection in self.connections:
            if connection.is_ready:
                connection.push(frame)

    def describe(self) -> list[dict[str, Any]]:
        """The open connections, oldest first."""
        return [
            {"peer_port": c.peer[1], "ready": c.is_ready, "topics": sorted(c.feeds), "frames": c.told}
            for c in self.connections
        ]

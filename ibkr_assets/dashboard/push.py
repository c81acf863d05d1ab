"""What moves, pushed to open pages: the database's notifications, fanned out over WebSockets.

What goes here: listening and telling. A message says what kind of thing changed; the page asks for the rest. What does
not: any figure, so a message that is lost costs a moment and never a wrong number.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import psycopg
from starlette.websockets import WebSocket, WebSocketDisconnect

from ibkr_assets.domain.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

log = logging.getLogger(__name__)

#: How often pages are told that the hub lives, and how long it waits before it asks a lost database again.
_BEAT_S = 5.0
_AGAIN_S = 1.0
#: One message for all that happens within this time.
_GATHER_S = 0.2


class Hub:
    """One listening connection for all pages. A page that is too slow misses messages, which are all alike."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pages: set[asyncio.Queue[str]] = set()

    async def listen(self) -> None:
        """Until cancelled: wait for notifications and hand them on; a database that goes away is asked again."""
        while True:
            try:
                await self._follow()
            except (psycopg.Error, Unavailable, ConfigurationError) as error:
                log.warning("no notifications: %s", error)
                self._tell({"kind": "lost"})
                await asyncio.sleep(_AGAIN_S)

    async def _follow(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._database.url, autocommit=True, connect_timeout=5, application_name="ibkr-assets dashboard"
        )
        async with connection:
            await connection.execute("listen oms")
            await connection.execute("listen pages")
            self._tell({"kind": "changed"})
            while True:
                found = [note async for note in connection.notifies(timeout=_BEAT_S, stop_after=1)]
                if not found:
                    await connection.execute("select 1")
                    self._tell({"kind": "beat"})
                    continue
                await asyncio.sleep(_GATHER_S)
                self._tell({"kind": "changed"})

    def _tell(self, message: dict[str, str]) -> None:
        text = json.dumps(message)
        for page in self._pages:
            if not page.full():
                page.put_nowait(text)

    async def follow(self, socket: WebSocket) -> None:
        """Send everything to one page until it leaves."""
        page: asyncio.Queue[str] = asyncio.Queue(maxsize=8)
        self._pages.add(page)
        try:
            while True:
                await socket.send_text(await page.get())
        finally:
            self._pages.discard(page)


async def live(socket: WebSocket) -> None:
    """The socket of a page. What it sends is read and ignored: only its leaving matters."""
    await socket.accept()
    hub: Hub = socket.app.state.hub
    sending = asyncio.create_task(hub.follow(socket))
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        pass
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

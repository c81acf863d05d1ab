"""The gateway's websocket: order events as hints to read sooner. Never evidence, and never needed.

What goes here: the connection, its thread, heartbeats and renewals. What frames mean goes to `stream_frames`, what to
read after a hint to `execution`. A gap in the stream is told as such: IBKR never repeats what happened in it.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from ibkr_assets.adapters.ibkr import stream_frames as frames
from ibkr_assets.adapters.ibkr.sockets import open_socket, trust_of
from ibkr_assets.adapters.ibkr.stream_frames import Frame, Merged
from ibkr_assets.adapters.ibkr.transport import redact
from ibkr_assets.domain.broker import Quote, StreamNews
from ibkr_assets.domain.errors import PlatformError, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.adapters.ibkr.session import Session

log = logging.getLogger(__name__)

#: IBKR sends a heartbeat every ten seconds; two that do not come mean that the connection is dead.
HEARTBEAT_S = 10.0
MISSED_HEARTBEATS = 2
#: IBKR wants to hear from a client once a minute.
TIC_EVERY_S = 45.0
#: A subscription of quotes ends by itself after 10 to 15 minutes.
RENEW_QUOTES_S = 540.0
READY_BOUND_S = 15.0
#: The first answer to `sor` may hold a thousand whole rows.
MAX_FRAME_BYTES = 4 * 1024 * 1024
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
_LOOK_S = 0.5
_STOP_BOUND_S = 3.0
#: A simulated gateway's faster pace never makes a timer shorter than this: machines stall.
_SHORTEST_S = 1.0


class GatewayStream:
    """`ports.OrderStream` over the gateway's websocket. Safe for threads; nothing runs before `start`.

    `url` is the API's, up to and including /v1/api; `ca` is `gateway.ca`, pin included. `pace` divides every timer.
    Raises ConfigurationError for a URL, file or pin that cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        ca: str | None,
        session: Session,
        account: str,
        connect_timeout_s: float,
        pace: float = 1.0,
    ) -> None:
        self._url = httpx.URL(url.rstrip("/") + "/ws")
        self._trust = trust_of(self._url, ca)
        self._session = session
        self._account = account
        self._connect_timeout_s = connect_timeout_s
        self._pace = pace
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_up = self._has_gap = self._is_troubled = self._has_fills = False
        self._changed: set[str] = set()
        self._merged = Merged(account)
        self._wanted_quotes: frozenset[int] = frozenset()
        # At DEBUG the library writes every header and frame, and so the cookie and the account's id.
        logging.getLogger("websockets").setLevel(logging.WARNING)

    def start(self) -> None:
        """Connect in the background, and again whenever the connection ends."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="order stream", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the connection and the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_STOP_BOUND_S)

    def news(self) -> StreamNews:
        """What was told since the last call. A thread that died is started again."""
        if not self._stop.is_set():
            self.start()
        with self._lock:
            told = StreamNews(self._is_up, self._has_gap, self._is_troubled, frozenset(self._changed), self._has_fills)
            self._has_gap = self._is_troubled = self._has_fills = False
            self._changed = set()
        return told

    def want_quotes(self, conids: Iterable[int]) -> None:
        """Follow the quotes of these contracts and no others, from now on."""
        self._wanted_quotes = frozenset(conids)

    def quotes(self) -> dict[int, Quote]:
        """The newest quotes that were told on the present connection, by conid."""
        return self._merged.quotes()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._follow()
            except (OSError, WebSocketException, PlatformError) as error:
                was_up = self._note_down()
                failures = 1 if was_up else failures + 1
                level = logging.WARNING if failures == 1 else logging.DEBUG
                log.log(level, "no order stream, orders are read at the usual times: %s", redact(str(error)[:200]))
            wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(max(failures - 1, 0), 10)) / self._pace
            self._stop.wait(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - spread, no secret

    def _follow(self) -> None:
        """One connection, from its handshake until it ends or is given up."""
        cookie = json.dumps({"session": self._session.stream_session()}, separators=(",", ":"))
        connection = connect(
            # TLS is done below, so that the pin is compared before the cookie leaves; hence always ws here.
            f"ws://{self._url.netloc.decode()}{self._url.path}",
            sock=open_socket(self._url, self._trust, self._connect_timeout_s),
            additional_headers={"Cookie": f"api={cookie}"},
            compression=None,
            proxy=None,
            open_timeout=self._connect_timeout_s,
            close_timeout=1.0,
            ping_interval=None,
            max_size=MAX_FRAME_BYTES,
        )
        with connection:
            self._await_ready(connection)
            self._merged.begin()
            connection.send(frames.SUBSCRIBE_ORDERS)
            connection.send(frames.SUBSCRIBE_TRADES)
            with self._lock:
                self._is_up = self._has_gap = True
            self._listen(connection)

    def _await_ready(self, connection: ClientConnection) -> None:
        """Frames that are sent before the gateway says that it is authenticated vanish."""
        give_up = time.monotonic() + max(READY_BOUND_S / self._pace, _SHORTEST_S)
        while not self._stop.is_set():
            left_s = give_up - time.monotonic()
            if left_s <= 0:
                raise Unavailable("the stream did not become ready")
            frame = frames.read_frame(connection.recv(timeout=left_s))
            if frame is not None and frame.topic == "sts":
                if any(row.get("authenticated") is True for row in frame.rows):
                    return
                self._check_session(frame)

    def _listen(self, connection: ClientConnection) -> None:
        heard_at = tic_at = time.monotonic()
        quotes_at: dict[int, float] = {}
        while not self._stop.is_set():
            now = time.monotonic()
            if now - heard_at > self._time(HEARTBEAT_S * MISSED_HEARTBEATS):
                raise Unavailable(f"the stream was silent for {now - heard_at:.0f} s")
            if now - tic_at > self._time(TIC_EVERY_S):
                connection.send(frames.TIC)
                tic_at = now
            self._follow_quotes(connection, quotes_at, now)
            try:
                message = connection.recv(timeout=_LOOK_S)
            except TimeoutError:
                continue
            heard_at = time.monotonic()
            frame = frames.read_frame(message)
            if frame is not None:
                self._take(frame)

    def _follow_quotes(self, connection: ClientConnection, quotes_at: dict[int, float], now: float) -> None:
        wanted = self._wanted_quotes
        for conid in [conid for conid in quotes_at if conid not in wanted]:
            connection.send(frames.unsubscribe_quotes(conid))
            del quotes_at[conid]
        for conid in wanted:
            if now - quotes_at.get(conid, float("-inf")) > self._time(RENEW_QUOTES_S):
                connection.send(frames.subscribe_quotes(conid))
                quotes_at[conid] = now

    def _take(self, frame: Frame) -> None:
        if frame.topic == "sor":
            changed, has_fills = self._merged.orders(frame.rows)
            with self._lock:
                self._changed |= changed
                self._has_fills = self._has_fills or has_fills
        elif frame.topic == "str":
            is_new = self._merged.executions(frame.rows)
            with self._lock:
                self._has_fills = self._has_fills or is_new
        elif frame.topic == "smd":
            self._merged.quote(frame.value)
        elif frame.topic == "sts":
            self._check_session(frame)
        elif frame.value.get("error"):
            log.debug("the stream says: %s", redact(str(frame.value["error"])[:200]))

    def _check_session(self, frame: Frame) -> None:
        for row in frame.rows:
            if row.get("authenticated") is False or row.get("competing") is True:
                raise Unavailable("the stream says that the brokerage session is gone")

    def _note_down(self) -> bool:
        with self._lock:
            was_up, self._is_up = self._is_up, False
            self._is_troubled = self._is_troubled or was_up
            return was_up

    def _time(self, seconds: float) -> float:
        return max(seconds / self._pace, _SHORTEST_S)

"""A stream of order events that tells what a test says."""

from __future__ import annotations

import threading

from ibkr_assets.domain.broker import StreamNews


class FakeStream:
    """`OrderStream` with the next news set by `say`; `is_running` tells whether it was started and not closed."""

    def __init__(self) -> None:
        self.is_running = False
        self._news = StreamNews()
        self._lock = threading.Lock()

    def say(self, news: StreamNews) -> None:
        with self._lock:
            self._news = news

    def start(self) -> None:
        self.is_running = True

    def news(self) -> StreamNews:
        with self._lock:
            told, self._news = self._news, StreamNews(is_up=self._news.is_up)
        return told

    def close(self) -> None:
        self.is_running = False

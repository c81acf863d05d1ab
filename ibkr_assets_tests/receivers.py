"""Where alerts arrive in tests: a web server and a mail server on loopback, both of which can be told to refuse."""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Received:
    """What arrived, and how the receiver answers next: `status` for HTTP, `is_refusing` for mail."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.mails: list[tuple[str, str, str]] = []
        self.status = 200
        self.is_refusing = False
        self.gate: threading.Event | None = None
        self.port = 0

    @property
    def titles(self) -> list[str]:
        """The titles of what was taken, in order."""
        return [str(body.get("title", "")) for _, body in self.requests] + [subject for _, subject, _ in self.mails]


@contextmanager
def http_receiver() -> Iterator[Received]:
    """Takes JSON posts and GETs. With `gate` set, it answers when that is set and not before."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._take({})

        def do_POST(self) -> None:
            self._take(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def _take(self, body: dict[str, Any]) -> None:
            if received.status < 300:
                received.requests.append((self.path, body))
            if received.gate is not None:
                received.gate.wait(10)
            try:
                self.send_response(received.status)
                self.end_headers()
            except OSError:
                pass

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    received.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def mail_receiver() -> Iterator[Received]:
    """Speaks as much of RFC 5321 as a client needs to hand over a message."""
    received = Received()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 test")
            recipient = ""
            while line := self.rfile.readline():
                words = line.decode().strip()
                verb = words[:4].upper()
                if verb in ("EHLO", "HELO"):
                    self._say("250 test")
                elif verb == "RCPT":
                    recipient = words.partition(":")[2].strip("<> ")
                    self._say("550 no such person" if received.is_refusing else "250 ok")
                elif verb == "DATA":
                    self._say("354 go on")
                    self._read(recipient)
                    self._say("250 taken")
                elif verb == "QUIT":
                    self._say("221 bye")
                    return
                else:
                    self._say("250 ok")

        def _read(self, recipient: str) -> None:
            lines = b""
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines += line
            message = email.message_from_bytes(lines, policy=email.policy.default)
            body = message.get_body(("plain", "html"))
            received.mails.append((recipient, str(message["subject"]), body.get_content() if body else ""))

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        received.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()

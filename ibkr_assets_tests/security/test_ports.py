"""The scan of ports finds what it is for: a socket that others reach, and none that only this machine does."""

from __future__ import annotations

import os
import socket

from ibkr_assets_tests.security.ports import answering, listening, outside_addresses


def test_a_socket_on_every_address_is_found_and_answers_outside() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        assert ("0.0.0.0", port) in listening([os.getpid()])
        assert answering([port]) >= {(one, port) for one in outside_addresses() if ":" not in one}


def test_a_socket_on_loopback_answers_nobody_outside() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert ("127.0.0.1", port) in listening([os.getpid()])
        assert answering([port]) == set()


def test_an_address_is_told_as_it_is_known_whatever_kind_of_socket_has_it() -> None:
    with socket.socket(socket.AF_INET6) as server:
        server.bind(("::ffff:127.0.0.1", 0))
        server.listen()
        assert ("127.0.0.1", server.getsockname()[1]) in listening([os.getpid()])

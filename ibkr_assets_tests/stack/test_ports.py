"""Ports are free, reserved, below the ephemeral range; one that was asked for is given or refused."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.stack.ports import PREFERRED_PORTS, Ports, is_free


@contextlib.contextmanager
def listener(port: int = 0) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", port)) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def held(port: int) -> Iterator[None]:
    """Something listens on the port, whether it was there before or not."""
    with listener(port) if is_free(port) else contextlib.nullcontext():
        yield


def test_all_ports_are_different_and_below_the_range_of_outgoing_connections() -> None:
    with Ports() as ports:
        assert set(ports.numbers) == set(PREFERRED_PORTS)
        assert len(set(ports.numbers.values())) == len(PREFERRED_PORTS)
        assert all(1024 <= port < 32768 for port in ports.numbers.values())


def test_a_taken_default_gives_way_to_the_next_free_port() -> None:
    with held(PREFERRED_PORTS["webserver"]), Ports() as ports:
        assert ports.numbers["webserver"] > PREFERRED_PORTS["webserver"]


def test_two_stacks_that_start_at_the_same_time_never_choose_the_same_port() -> None:
    with Ports() as first, Ports() as second:
        assert set(first.numbers.values()).isdisjoint(second.numbers.values())


def test_a_port_in_use_that_was_asked_for_is_refused_by_name() -> None:
    with listener() as port, pytest.raises(ConfigurationError, match=rf"ports\.mlflow: port {port} .* in use"):
        Ports({"mlflow": port}).__enter__()


def test_a_port_that_was_asked_for_is_given() -> None:
    with listener() as port:
        pass
    with Ports({"webserver": port}) as ports:
        assert ports.numbers["webserver"] == port


def test_a_refusal_gives_back_what_was_reserved_before() -> None:
    with listener() as free:
        pass
    with listener() as taken:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=rf"port {taken}"):
                Ports({"gateway": free, "mlflow": taken}).__enter__()


@pytest.mark.parametrize("wrong", [0, -1, 70_000])
def test_a_number_that_is_no_port_is_refused(wrong: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"ports\.code: {wrong} is not a port number"):
        Ports({"code": wrong}).__enter__()


def test_an_unknown_service_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ports: redis: no such service"):
        Ports({"redis": 6379}).__enter__()


def test_connections_that_linger_after_a_server_ended_do_not_make_its_port_taken(tmp_path: Path) -> None:
    with listener() as port, socket.create_connection(("127.0.0.1", port)):
        pass
    assert is_free(port)

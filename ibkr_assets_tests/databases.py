"""A database of its own for as long as something needs it, copied from one at the newest schema."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def fresh_database(server: Any, template: str) -> Iterator[str]:
    """The name of a new database on `server` that nobody is connected to; dropped afterwards, whoever is then."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with server.connect() as connection:
        connection.execute(f"create database {name} template {template} owner ibkr_platform strategy file_copy")
    try:
        yield name
    finally:
        with server.connect() as connection:
            connection.execute(f"drop database {name} with (force)")

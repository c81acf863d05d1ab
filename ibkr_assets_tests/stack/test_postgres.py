"""The embedded server through its whole life: made, killed, found again, refused."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from ibkr_assets.domain.errors import ConfigurationError, Unavailable
from ibkr_assets.stack.postgres import EmbeddedPostgres
from ibkr_assets.stack.server_passwords import load_passwords
from ibkr_assets.stack.server_processes import clear_leftovers, is_ours, processes_of

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A directory that any account may pass, as a data directory of an ordinary installation is."""
    path = Path(tempfile.mkdtemp(prefix="ibkr-assets-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def server(open_dir: Path) -> Iterator[EmbeddedPostgres]:
    embedded = EmbeddedPostgres(open_dir / "data")
    yield embedded
    embedded.stop()


def test_a_new_server_has_three_databases_with_owners_of_their_own(server: EmbeddedPostgres) -> None:
    server.start()
    urls = server.ensure_databases()

    assert sorted(urls) == ["dagster", "mlflow", "platform"]
    for name, url in urls.items():
        with psycopg.connect(url) as connection:
            row = connection.execute(
                "select current_database(), pg_get_userbyid(datdba), current_user from pg_database "
                "where datname = current_database()"
            ).fetchone()
            assert row == (name, f"ibkr_{name}", f"ibkr_{name}")
    for name, url in urls.items():
        other = "platform" if name != "platform" else "dagster"
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(url.replace(f"/{name}", f"/{other}"))
    assert server.ensure_databases() == urls


def test_the_durable_settings_cannot_be_taken_back_by_alter_system(server: EmbeddedPostgres) -> None:
    server.start()
    with server.connect() as connection:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"alter system set {name} = off")
        connection.execute("select pg_reload_conf()")
    server.stop()
    server.start()
    with server.connect() as connection:
        for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
            assert connection.execute(f"show {name}").fetchone() == ("on",), name
        assert connection.execute("show listen_addresses").fetchone() == ("127.0.0.1",)
        assert connection.execute("show server_encoding").fetchone() == ("UTF8",)


def test_what_was_committed_is_there_after_kill_9_of_the_server_and_its_children(server: EmbeddedPostgres) -> None:
    server.start()
    with server.connect() as connection:
        connection.execute("create table kept (n int)")
        connection.execute("insert into kept select generate_series(1, 1000)")
    assert server.pid is not None
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    assert len(family) > 3
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=10)

    reborn = EmbeddedPostgres(server.data_dir)
    try:
        reborn.start()
        with reborn.connect() as connection:
            assert connection.execute("select count(*), sum(n) from kept").fetchone() == (1000, 500500)
    finally:
        reborn.stop()


def test_a_server_that_outlived_its_keeper_is_ended_before_the_next_start(server: EmbeddedPostgres) -> None:
    server.start()
    orphan = server.pid
    assert orphan is not None

    reborn = EmbeddedPostgres(server.data_dir)
    try:
        reborn.start()
        server.stop()  # reaps the child
        assert reborn.pid != orphan
        assert not psutil.pid_exists(orphan)
        assert reborn.is_ready()
    finally:
        reborn.stop()


def test_children_of_a_killed_server_do_not_keep_the_next_one_from_starting(server: EmbeddedPostgres) -> None:
    server.start()
    busy = psycopg.connect(server.url("postgres", "postgres"), autocommit=True)
    with busy:
        backend = busy.info.backend_pid
        os.kill(backend, signal.SIGSTOP)  # it cannot notice that its parent is gone
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        assert backend in processes_of(server.cluster)

        reborn = EmbeddedPostgres(server.data_dir)
        try:
            reborn.start()
            assert not is_ours(backend, server.cluster)
        finally:
            reborn.stop()


def test_a_pid_file_whose_number_now_belongs_to_another_program_is_removed(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        pid_file = server.cluster / "postmaster.pid"
        pid_file.write_text(f"{stranger.pid}\n{server.cluster}\n")
        server.start()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("text", ["", "\n", "not a number\n"])
def test_a_pid_file_that_was_cut_short_is_removed(tmp_path: Path, text: str) -> None:
    (tmp_path / "postmaster.pid").write_text(text)

    assert clear_leftovers(tmp_path) == []
    assert not (tmp_path / "postmaster.pid").exists()


def test_an_interrupted_preparation_is_no_obstacle(server: EmbeddedPostgres) -> None:
    server.data_dir.mkdir(parents=True)
    half = server.data_dir / "postgres.new-abc" / "data"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    server.prepare()

    assert sorted(p.name for p in server.data_dir.iterdir()) == ["postgres", "postgres-roles.json"]
    server.prepare()


def test_passwords_are_for_the_owner_only_and_stay_the_same(tmp_path: Path) -> None:
    first = load_passwords(tmp_path)

    assert stat.S_IMODE((tmp_path / "postgres-roles.json").stat().st_mode) == 0o600
    assert load_passwords(tmp_path) == first
    assert len(set(first.values())) == len(first)


def test_lost_passwords_of_a_cluster_are_named(server: EmbeddedPostgres) -> None:
    server.prepare()
    (server.data_dir / "postgres-roles.json").unlink()

    for act in (server.prepare, lambda: server.url("platform")):
        with pytest.raises(ConfigurationError, match=r"postgres-roles\.json.*restore that file"):
            act()


def test_urls_are_known_before_anything_is_prepared(server: EmbeddedPostgres) -> None:
    url = server.url("platform", "ibkr_app")
    server.start()
    server.ensure_databases()
    with psycopg.connect(url) as connection:
        assert connection.execute("select current_user").fetchone() == ("ibkr_app",)


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")

    with pytest.raises(ConfigurationError, match=f"cannot write to {blocker / 'data'}"):
        EmbeddedPostgres(blocker / "data").prepare()
    with pytest.raises(ConfigurationError, match=f"cannot write to {blocker / 'data'}"):
        EmbeddedPostgres(blocker / "data").url("platform")


def test_a_cluster_of_an_unknown_version_is_refused(server: EmbeddedPostgres) -> None:
    server.prepare()
    (server.cluster / "PG_VERSION").write_text("9\n")

    with pytest.raises(ConfigurationError, match="written by Postgres 9"):
        server.prepare()


@AS_ROOT
def test_root_hands_the_server_to_an_unprivileged_account(server: EmbeddedPostgres) -> None:
    server.start()
    assert server.pid is not None
    assert psutil.Process(server.pid).username() == "nobody"
    assert server.cluster.owner() == "nobody"
    assert (server.data_dir / "postgres-roles.json").owner() == "root"


@AS_ROOT
def test_below_a_private_directory_the_server_runs_and_the_directory_stays_private(open_dir: Path) -> None:
    private = open_dir / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedPostgres(private / "data")
    try:
        server.start()
        assert server.pid is not None
        assert psutil.Process(server.pid).uids().real != 0
        assert server.command().user is None
    finally:
        server.stop()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


@AS_ROOT
def test_where_the_account_cannot_pass_the_directory_is_named(open_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = open_dir / "private"
    private.mkdir(mode=0o700)
    monkeypatch.setattr(shutil, "which", lambda _name: None)

    with pytest.raises(ConfigurationError, match=f"nobody cannot pass the directory {private}; choose another"):
        EmbeddedPostgres(private / "data").prepare()
    assert not (private / "data" / "postgres").exists()


@pytest.mark.parametrize("is_private", [False, pytest.param(True, marks=AS_ROOT)])
def test_the_command_runs_in_the_foreground_until_its_stop_signal(open_dir: Path, is_private: bool) -> None:
    if is_private:
        open_dir.chmod(0o700)
    server = EmbeddedPostgres(open_dir / "data")
    server.prepare()
    command = server.command()
    with (open_dir / "log").open("wb") as log:
        child = subprocess.Popen(command.argv, env=command.environment, user=command.user, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while not server.is_ready() and time.monotonic() < deadline:
            assert child.poll() is None, (open_dir / "log").read_text()
            time.sleep(0.05)
        assert is_ours(child.pid, server.cluster)
        child.send_signal(server.stop_signal)
        assert child.wait(20) == 0
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    assert processes_of(server.cluster) == []


def test_a_server_that_cannot_start_tells_its_last_words(open_dir: Path) -> None:
    server = EmbeddedPostgres(open_dir / "data", settings={"max_connections": "none"})

    with pytest.raises(Unavailable, match="max_connections"):
        server.start(timeout_s=20)
    server.stop()


@AS_ROOT
def test_programs_below_a_private_directory_run_too(open_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a checkout under /root: the server looks for its own programs as the unprivileged account."""
    private = open_dir / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedPostgres(open_dir / "data")
    version = server._binaries().parent
    package = version.parent
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, private / libraries.name)
    shutil.copytree(version, private / package.name / version.name, symlinks=True)
    monkeypatch.setattr(EmbeddedPostgres, "_binaries", lambda _self: private / package.name / version.name / "bin")
    try:
        server.start()
        assert server.pid is not None
        assert psutil.Process(server.pid).uids().real != 0
    finally:
        server.stop()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700

"""The containers' files: one published port, no rights to spare, and each process with its own secrets alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

ROOT = Path(__file__).parents[1]
PSQL = shutil.which("psql")
PROFILES = ("workers", "backup", "metrics", "cli", "simulated", "ibkr")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def test_the_dashboard_alone_is_published_and_everything_on_loopback(compose: dict[str, Any]) -> None:
    """What somebody adds by a profile may be, on loopback too."""
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert [name for name in ports if "profiles" not in compose["services"][name]] == ["dashboard"]
    assert all(str(port).startswith("127.0.0.1:") for published in ports.values() for port in published)


def test_postgres_is_on_a_network_without_a_way_out_with_those_alone_who_have_a_role(compose: dict[str, Any]) -> None:
    services = compose["services"]
    (network,) = services["postgres"]["networks"]
    assert compose["networks"][network] == {"internal": True}
    beside = {name for name, service in services.items() if network in service.get("networks", ())}
    with_role = {name for name, service in services.items() if "DATABASE_ROLE" in (service.get("environment") or {})}
    assert beside == with_role | {"postgres", "mlflow"}


def test_no_service_is_on_the_network_that_compose_makes_for_who_names_none(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert "networks" in service or service["network_mode"].startswith("service:"), name


def test_no_container_has_rights_to_spare(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert "privileged" not in service
        assert "docker.sock" not in str(service.get("volumes", ""))
        assert service.get("network_mode") != "host"
        if name != "postgres":
            assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
            assert service["user"].partition(":")[0] not in ("", "0", "root"), name
            assert service["security_opt"] == ["no-new-privileges:true"], name


def test_each_process_has_the_passwords_of_its_own_roles(compose: dict[str, Any]) -> None:
    found = {name: set(service.get("secrets", ())) for name, service in compose["services"].items()}
    assert [name for name, secrets in found.items() if "ibkr_submitter" in secrets] == ["postgres", "submitter"]
    assert [name for name, secrets in found.items() if "ibkr_dashboard" in secrets] == ["postgres", "dashboard"]
    assert found["dashboard"] == {"ibkr_dashboard", "dashboard_users"}
    assert [name for name, secrets in found.items() if "postgres_password" in secrets] == ["postgres"]
    for name, service in compose["services"].items():
        role = (service.get("environment") or {}).get("DATABASE_ROLE")
        assert role is None or role in found[name], name


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
@pytest.mark.parametrize(
    "options",
    [
        *([] if profile is None else ["--profile", profile] for profile in (None, *PROFILES)),
        [word for profile in PROFILES for word in ("--profile", profile)],
        ["--env-file", "docker/simulated/compose.env"],
    ],
    ids=" ".join,
)
def test_docker_compose_accepts_it(options: list[str]) -> None:
    command = ["docker-compose", *options, "-f", str(ROOT / "docker-compose.yml"), "config", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=30)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_every_profile_is_one_of_those_that_are_looked_at(compose: dict[str, Any]) -> None:
    found = {profile for service in compose["services"].values() for profile in service.get("profiles", ())}
    assert found == set(PROFILES)


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [str(program), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_every_image_is_pinned_to_a_release(compose: dict[str, Any]) -> None:
    named = [service["image"] for service in compose["services"].values()]
    named += re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert [image for image in named if not re.search(r":v?\d+\.\d+\.?\d*", image)] == []


def test_all_who_speak_to_the_gateway_count_what_is_sent_together(compose: dict[str, Any]) -> None:
    """IBKR counts by address: the place is that of the limiter, for the account of the containers."""
    user = compose["x-platform"]["user"].partition(":")[0]
    place = f"pacing:{tempfile.gettempdir()}/ibkr-assets-{user}"
    sharing = {name for name, service in compose["services"].items() if place in service.get("volumes", ())}
    assert sharing == {"code", "submitter", "worker", "dashboard", "cli"}


@pytest.mark.slow
@pytest.mark.skipif(PSQL is None, reason="psql is not installed")
def test_the_roles_that_the_server_begins_with_are_those_that_the_migrations_grant_to(tmp_path: Path) -> None:
    from ibkr_assets.adapters.postgres.migrate import migrate
    from ibkr_assets.stack.databases import PLATFORM_USERS
    from ibkr_assets.stack.postgres import EmbeddedPostgres

    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("ibkr_platform", "ibkr_dagster", "ibkr_mlflow", *PLATFORM_USERS):
        (secrets / name).write_text(f"secret-of-{name}\n", encoding="ascii")
    server = EmbeddedPostgres(tmp_path / "data")
    server.start()
    try:
        superuser = psycopg.conninfo.conninfo_to_dict(server.url("postgres", "postgres"))
        environment = os.environ | {
            "SECRETS": str(secrets), "PGHOST": "127.0.0.1", "PGPORT": str(server.port),
            "PGPASSWORD": str(superuser["password"]), "PGDATABASE": "postgres",
        }  # fmt: skip
        done = subprocess.run(
            ["sh", str(ROOT / "docker" / "databases.sh")], env=environment, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        where = f"127.0.0.1:{server.port}/platform"
        migrate(f"postgresql://ibkr_platform:secret-of-ibkr_platform@{where}")
        with psycopg.connect(f"postgresql://ibkr_dashboard:secret-of-ibkr_dashboard@{where}") as connection:
            assert connection.execute("select count(*) from oms.order_intent").fetchone() == (0,)
            assert connection.execute("select oms.may_drive()").fetchone() == (False,)
    finally:
        server.stop()


def test_with_workers_dagster_differs_by_its_launcher_alone() -> None:
    alone, cluster = (
        yaml.safe_load((ROOT / "docker" / name).read_text(encoding="utf-8"))
        for name in ("dagster.yaml", "cluster.yaml")
    )
    launcher = cluster.pop("run_launcher")
    assert launcher["class"] == "ClusterRunLauncher"
    assert cluster == alone


def test_the_write_ahead_log_is_archived_where_nothing_is_overwritten(compose: dict[str, Any], tmp_path: Path) -> None:
    command = compose["services"]["postgres"]["command"]
    archive = next(word for word in command if str(word).startswith("archive_command=")).partition("=")[2]
    segment, kept = tmp_path / "000000010000000000000001", tmp_path / "archive"
    segment.write_bytes(b"a segment")
    kept.mkdir()
    words = archive.replace("/var/lib/postgresql-archive", str(kept)).replace("%f", segment.name)
    for expected in (0, 1):  # the second time it is there already
        done = subprocess.run(["sh", "-c", words.replace("%p", str(segment))], check=False, timeout=10)
        assert done.returncode == expected
        assert [path.name for path in kept.iterdir()] == [segment.name]
        assert (kept / segment.name).read_bytes() == b"a segment"
        segment.write_bytes(b"another")

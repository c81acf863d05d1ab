"""IBKR's own gateway in its container, as far as it can be seen without IBKR: its files, its port, its certificate."""

from __future__ import annotations

import ipaddress
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ibkr_assets.adapters.ibkr.client import broker
from ibkr_assets_tests.compose.file import ROOT, mounts_of, read_compose
from ibkr_assets_tests.gateway import start_gateway

PIN = re.compile(r"openssl s_client -connect 127\.0\.0\.1:5000 [^`\n]*sha256sum")


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    found: dict[str, Any] = read_compose({})["services"]["ibkr-gateway"]
    return found


@pytest.fixture(scope="module")
def conf() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "ibkr-gateway" / "conf.yaml").read_text())
    return found


def test_its_configuration_lies_over_the_one_that_came_with_it_beside_its_certificate(service: dict[str, Any]) -> None:
    """Its script takes the directory of its argument as the first place where it looks for `sslCert` and pages."""
    *_, given = service["command"]
    mounts = {mount.target: mount.source for mount in mounts_of(service)}
    directory = f"{service['working_dir']}/{Path(given).parent}"
    assert mounts[f"{service['working_dir']}/{given}"] == "./docker/ibkr-gateway/conf.yaml"
    assert mounts[directory] == "./clientportal.gw/root"
    assert all(mount.is_read_only for mount in mounts_of(service))


def test_it_writes_where_it_may(service: dict[str, Any]) -> None:
    (cache,) = re.findall(r"-Dvertx\.cacheDirBase=(\S+)", service["environment"]["JAVA_TOOL_OPTIONS"])
    places = [place.partition(":")[0] for place in service["tmpfs"]]
    assert Path(cache).parent.as_posix() in places
    assert f"{service['working_dir']}/logs" in places


def test_only_this_machine_and_the_containers_beside_it_are_let_in(
    service: dict[str, Any], conf: dict[str, Any]
) -> None:
    for pattern in conf["ips"]["allow"]:
        given = pattern.replace(".*", "").split(".")
        lowest, highest = (".".join([*given, *[end] * (4 - len(given))]) for end in ("0", "255"))
        assert all(ipaddress.ip_address(one).is_private for one in (lowest, highest)), pattern
    (published,) = service["ports"]
    assert published == f"127.0.0.1:5000:{conf['listenPort']}"
    assert conf["listenSsl"] is True
    assert conf["cors"] == {"origin.allowed": "https://localhost:5000", "allowCredentials": False}


def test_its_health_check_tells_a_port_that_listens_from_one_that_does_not(service: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        command = [word.replace("5000", port) for word in service["healthcheck"]["test"][1:]]
        assert subprocess.run(command, check=False, timeout=10, capture_output=True).returncode == 0
    assert subprocess.run(command, check=False, timeout=10, capture_output=True).returncode != 0


def test_the_pin_that_the_pages_print_is_the_one_that_the_platform_trusts(tmp_path: Path) -> None:
    """The very commands of the pages, against a gateway with a self-signed certificate, as IBKR's is."""
    found = {PIN.search((ROOT / "docs" / page).read_text())[0] for page in ("containers.md", "runbook.md")}  # type: ignore[index]
    (command,) = found
    with start_gateway(extra=("--tls-self-signed", str(tmp_path))) as gateway:
        port = gateway.api_url.partition("/v1")[0].rpartition(":")[2]
        done = subprocess.run(
            ["bash", "-c", command.replace("5000", port)], capture_output=True, text=True, check=True, timeout=20
        )
        side = broker(
            gateway.api_url, ca=f"sha256:{done.stdout.split()[0]}", account=gateway.account, connect_timeout_s=2.0,
            read_timeout_s=2.0, order_timeout_s=2.0, pace=1000.0,
        )  # fmt: skip
        assert side.open_session().is_ready
        side.close()

"""One definition of the options for both commands: every option can be given, and means what was given."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.simulator.command import read_options
from ibkr_assets.simulator.options import GatewayOptions

#: An argument for each option, and what it must become.
GIVEN: dict[str, tuple[list[str], object]] = {
    "admin_token": (["T"], "T"),
    "port": (["5055"], 5055),
    "clock_start": (["2012-10-01T13:00:00+00:00"], datetime(2012, 10, 1, 13, tzinfo=UTC)),
    "opening_cash": (["2500.50"], Decimal("2500.50")),
    "auto_login_after_s": (["900"], 900.0),
    "nightly_reset": (["login"], "login"),
    "region": (["europe"], "europe"),
    "maintenance": ([], True),
    "fast_penalty": ([], True),
    "state_dir": (["here"], Path("here")),
    "tape": (["bars"], "bars"),
}


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_an_option_means_what_was_given(name: str) -> None:
    arguments, value = GIVEN[name]
    options = read_options(["--" + name.replace("_", "-"), *arguments], program="gateway", admin_token="x")
    assert getattr(options, name) == value


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--region", "mars"], "region: must be one of america, europe, asia, got 'mars'"),
        (["--nightly-reset", "never"], "nightly_reset: must be one of off, brokerage, login, got 'never'"),
        (["--idle-limit-s", "-1"], "idle_limit_s: must not be negative, got -1.0"),
        (["--pace", "nan"], "pace: must be positive, got nan"),
        (["--clock", "2012-10-01T13:00:00"], "clock_start: must carry a time zone"),
        (["--tls-cert", "c", "--tls-key", "k", "--tls-self-signed", "d"], "tls_self_signed: not together"),
    ],
)
def test_what_cannot_be_is_named(arguments: list[str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read_options([*arguments, "--admin-token", "x"], program="gateway")


def test_every_option_is_on_the_command_line_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read_options(["--help"], program="ibkr-assets gateway")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "Example: ibkr-assets gateway --port" in text
    for one in fields(GatewayOptions):
        assert f"--{one.name.replace('_', '-')}" in text
        assert one.metadata["help"], one.name


def test_the_token_comes_from_the_environment_and_an_argument_is_stronger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IBKR_ASSETS_ADMIN_TOKEN", "of the environment")
    assert read_options([], program="gateway").admin_token == "of the environment"
    assert read_options(["--admin-token", "given"], program="gateway").admin_token == "given"
    monkeypatch.delenv("IBKR_ASSETS_ADMIN_TOKEN")
    with pytest.raises(ConfigurationError, match="admin_token: must not be empty"):
        read_options([], program="gateway")

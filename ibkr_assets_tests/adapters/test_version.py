"""One document of what runs: what decides is in it and moves its hash, and nothing else does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ibkr_assets import bootstrap
from ibkr_assets.adapters.version import UNDECIDING
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.domain.lineage import Version
from ibkr_assets.domain.order import Mode, account_ref
from ibkr_assets.settings import Settings

BASE: dict[str, Any] = {"mode": "sim", "account": "DU1000001", "database": {"url": "postgresql://u:hush@h/d"}}


def settings(**changes: Any) -> Settings:
    return Settings.model_validate(BASE | changes)


DECIDING = [
    {"mode": "dry_run"}, {"account": "DU1000002"}, {"submitter": {"salt": "other"}}, {"market": {"calendar": "XNAS"}},
    {"market": {"warm_up_sessions": 100}}, {"market": {"symbols": ["IBM"]}}, {"risk": {"allowed_symbols": ["IBM"]}},
    {"risk": {"max_order_value_usd": "9999"}}, {"gateway": {"reset_zone": "Europe/Zurich"}},
    {"llm": {"model": "other"}}, {"llm": {"samples": 3}},
]  # fmt: skip
UNDECIDED = [
    {"data_dir": "/elsewhere"}, {"clock_url": "http://127.0.0.1:1/clock"}, {"crash": "send.begun:1"},
    {"database": {"url": "postgresql://h/other"}}, {"gateway": {"url": "https://h/v1/api", "order_timeout_s": 3}},
    {"gateway": {"pace": 50}}, {"mlflow": {"tracking_uri": "http://h", "experiment": "other"}},
    {"submitter": {"settle_s": 0, "lease_s": 5, "poll_interval_s": 1}}, {"may_flatten": True},
    {"risk": {"max_order_value_usd": "10000.00"}}, {"cluster": {"broker_url": "redis://:hush@h:6379/0"}},
    {"llm": {"timeout_s": 5, "api_key_env": "MY_KEY", "training_cutoff": "2025-01-31", "notes": "/elsewhere"}},
]  # fmt: skip


@pytest.mark.parametrize("changes", DECIDING)
def test_a_setting_that_decides_is_another_version(changes: dict[str, Any]) -> None:
    assert bootstrap.versions(settings(**changes)).configuration != bootstrap.versions(settings()).configuration


@pytest.mark.parametrize("changes", UNDECIDED)
def test_where_things_are_and_how_long_they_may_take_decides_nothing(changes: dict[str, Any]) -> None:
    assert bootstrap.version(settings(**changes)) == bootstrap.version(settings())


def test_a_users_own_strategy_is_code_wherever_its_directory_is(tmp_path: Path) -> None:
    def with_own(name: str, **files: str) -> Version:
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        for stem, text in files.items():
            (directory / f"{stem}.py").write_text(text)
        return bootstrap.version(settings(strategies={"directory": str(directory)}))

    bare = bootstrap.version(settings())
    assert with_own("empty") == bare
    first = with_own("one", mine="KIND = 1\n")
    assert first.code_sha256 != bare.code_sha256
    assert with_own("two", mine="KIND = 1\n") == first, "the path decides nothing"
    edited = with_own("one", mine="KIND = 2\n")
    assert edited.code_sha256 not in (first.code_sha256, bare.code_sha256)
    assert edited.config_sha256 == bare.config_sha256
    with pytest.raises(ConfigurationError, match=r"strategies.directory: cannot read /nowhere: No such file"):
        bootstrap.version(settings(strategies={"directory": "/nowhere"}))


def test_what_processes_compare_is_the_hash_of_the_document_that_is_stored() -> None:
    version, compared = bootstrap.version(settings()), bootstrap.versions(settings())
    document = json.dumps(version.config, sort_keys=True)
    assert compared.configuration == hashlib.sha256(document.encode()).hexdigest() == version.config_sha256
    assert compared.code == version.code_sha256
    assert (version.config["mode"], version.config["account"]) == (Mode.SIM, account_ref("DU1000001"))
    assert "hush" not in document
    assert "DU1000001" not in document


def test_every_setting_that_is_left_out_is_there_to_be_left_out() -> None:
    sections = Settings().model_dump()
    for name, fields in UNDECIDING.items():
        assert fields is None or fields <= sections[name].keys(), name
        assert name in sections

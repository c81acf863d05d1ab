"""The names of the features and the digest that identifies their values."""

import importlib.metadata
from dataclasses import replace

import pytest

from ibkr_assets.features import definition


def digest(monkeypatch: pytest.MonkeyPatch, **changes: object) -> str:
    for name, value in changes.items():
        monkeypatch.setattr(definition, name, value)
    return definition.feature_digest.__wrapped__()


def test_the_digest_is_a_sha256_and_stays_the_same() -> None:
    assert len(bytes.fromhex(definition.feature_digest())) == 32
    assert definition.feature_digest() == definition.feature_digest.__wrapped__()


def test_names_are_unique() -> None:
    assert len(set(definition.FEATURES)) == len(definition.FEATURES)


@pytest.mark.parametrize("change", [{"parameters": (("timeperiod", 11),)}, {"warm_up": 10}, {"inputs": ("open",)}])
def test_another_definition_is_another_digest(monkeypatch: pytest.MonkeyPatch, change: dict[str, object]) -> None:
    changed = (replace(definition.DEFINITIONS[0], **change), *definition.DEFINITIONS[1:])
    assert digest(monkeypatch, DEFINITIONS=changed) != definition.feature_digest()


def test_other_formulas_are_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert digest(monkeypatch, FORMULAS=definition.FORMULAS + 1) != definition.feature_digest()


def test_another_indicator_library_is_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = definition.feature_digest()
    assert importlib.metadata.version("ta-lib") != "0.0.1"
    assert digest(monkeypatch, version=lambda name: "0.0.1") != before

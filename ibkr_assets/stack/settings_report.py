"""Every setting in force with where it came from, fit to be shown: no password, no whole account id.

How settings are read is `settings`; this only tells a person which of the places won.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr

from ibkr_assets.settings import NAMED_VARIABLES, NESTED_PREFIX, Settings
from ibkr_assets.stack.state import read_state

_PASSWORD = re.compile(r"(?<=://)([^/@:]*):[^@/]*(?=@)")


def list_settings(settings: Settings, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """One row a setting: `key` with dots, `value` redacted, `source`."""
    from_stack = (read_state(settings.data_dir.absolute()) or {"environment": {}})["environment"]
    file = environment.get("IBKR_ASSETS_CONFIG")
    places = [
        {key: f"environment {name}" for name, key in _variables(environment)},
        dict.fromkeys(_keys_of_file(file), f"file {file}"),
        {key: "running stack" for _, key in _variables(from_stack)},
    ]
    return [
        {
            "key": key,
            "value": redact(key, value),
            "source": next((place[key] for place in places if key in place), "default"),
        }
        for key, value in _leaves(settings)
    ]


def redact(key: str, value: object) -> Any:
    """A value that may be shown: passwords in URLs as stars, an account id by its ends only."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
        if key.startswith("alerts.") or not _PASSWORD.search(value):
            return "***"  # a key, or an address that is all it takes to use it
    if key == "account" and isinstance(value, str):
        return value[:2] + "*" * max(0, len(value) - 4) + value[-2:]
    if isinstance(value, str):
        return _PASSWORD.sub(r"\1:***", str(value))
    if isinstance(value, tuple):
        return [one.model_dump(mode="json") if isinstance(one, BaseModel) else one for one in value]
    return str(value) if isinstance(value, Decimal | Path | time) else value


def _leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _variables(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environment.items():
        if name in NAMED_VARIABLES and value:
            yield name, ".".join(NAMED_VARIABLES[name])
        elif name.startswith(NESTED_PREFIX):
            yield name, name.removeprefix(NESTED_PREFIX).lower().replace("__", ".")


def _keys_of_file(name: str | None) -> list[str]:
    if not name:
        return []
    return list(_flat(yaml.safe_load(Path(name).read_text(encoding="utf-8")) or {}))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"

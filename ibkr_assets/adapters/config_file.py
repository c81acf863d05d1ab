"""The configuration file as evidence: its hash, and the mode that it says itself.

What goes here: reading that for arming, and for the check that an arm is for this very file. What does not: reading
settings from it (`settings`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import yaml

from ibkr_assets.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """Both are None where no file is named; `mode` also where the file does not say one."""

    sha256: str | None
    mode: str | None


def read_config_file(name: str | None) -> ConfigFile:
    """The file of IBKR_ASSETS_CONFIG. Raises ConfigurationError when it cannot be read."""
    if not name:
        return ConfigFile(None, None)
    try:
        content = Path(name).read_bytes()
        said = yaml.safe_load(content)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"IBKR_ASSETS_CONFIG: cannot read {name}: {error}") from None
    mode = said.get("mode") if isinstance(said, dict) else None
    return ConfigFile(hashlib.sha256(content).hexdigest(), None if mode is None else str(mode))

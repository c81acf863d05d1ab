"""Strategies of the user's own: one Python file each, in the directory that the configuration names.

What goes here: loading such a file and saying what is wrong with it. What does not: the kinds that are shipped
(`strategies.registry`). A file defines `KIND = Kind(Params, MyStrategy)`: a pydantic model of parameters and a class
built from it; the file's name without `.py` is the kind's name.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.strategies.kind import Kind


def load_kinds(directory: Path) -> dict[str, Kind]:
    """The kinds of a directory by name. Raises ConfigurationError naming the file and the reason."""
    if not directory.is_dir():
        raise ConfigurationError(f"strategies.directory: no such directory: {directory}")
    return {path.stem: _load(path) for path in sorted(directory.glob("*.py")) if not path.stem.startswith("_")}


def _load(path: Path) -> Kind:
    name = f"ibkr_assets_own_strategies.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"strategies.directory: {path}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks up annotations of a class in its module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigurationError(f"strategies.directory: {path}: {type(error).__name__}: {error}") from error
    kind = getattr(module, "KIND", None)
    if not isinstance(kind, Kind):
        raise ConfigurationError(f"strategies.directory: {path}: KIND must be a Kind, got {kind!r}")
    return kind

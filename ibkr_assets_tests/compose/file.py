"""docker-compose.yml and the Dockerfile as values: what a service is given, with its variables filled in.

What goes here: reading. What does not: starting anything (`engine`).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume or a directory of the checkout, where a service sees it."""

    source: str
    target: str
    is_read_only: bool

    @property
    def is_named(self) -> bool:
        """True for a volume, which begins empty."""
        return not self.source.startswith((".", "/"))


@dataclass(frozen=True, slots=True)
class Image:
    """What the last stage of the Dockerfile adds to its base: variables, and files of the checkout by their place."""

    environment: Mapping[str, str]
    files: Mapping[str, str]


def read_compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables filled in, as `docker compose` does. Raises KeyError for one without a default."""

    def fill(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        if found["default"] is None:
            return variables[found["name"]]
        return variables.get(found["name"]) or found["default"]

    def walk(value: Any) -> Any:
        if isinstance(value, str):
            return _VARIABLE.sub(fill, value)
        if isinstance(value, dict):
            return {key: walk(one) for key, one in value.items()}
        return [walk(one) for one in value] if isinstance(value, list) else value

    loaded: dict[str, Any] = walk(yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    return loaded


def read_variables(path: Path) -> dict[str, str]:
    """An environment file, as `--env-file` takes it."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def mounts_of(service: Mapping[str, Any]) -> list[Mount]:
    """What a service mounts."""
    found = [(text, *text.split(":")) for text in service.get("volumes", ())]
    return [Mount(parts[0], parts[1], parts[2:] == ["ro"]) for _, *parts in found]


def networks_of(service: Mapping[str, Any]) -> dict[str, list[str]]:
    """The networks that a service is on, with the names that it has there besides its own."""
    named = service.get("networks", ())
    if isinstance(named, list):
        return {name: [] for name in named}
    return {name: list((how or {}).get("aliases", ())) for name, how in dict(named).items()}


def command_of(service: Mapping[str, Any]) -> list[str]:
    """Its command line, with the entry point in front where it names one."""
    command = service["command"]
    return [*service.get("entrypoint", ()), *(shlex.split(command) if isinstance(command, str) else command)]


def read_image() -> Image:
    """The image that most services run in."""
    stage = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").rpartition("\nFROM ")[2]
    environment: dict[str, str] = {}
    files: dict[str, str] = {}
    for line in stage.splitlines():
        word, _, rest = line.partition(" ")
        if word == "ENV":
            environment |= dict(part.split("=", 1) for part in rest.split())
        elif word == "COPY" and not rest.startswith("--from"):
            source, target = rest.split()
            files[target] = source
    return Image(environment, files)

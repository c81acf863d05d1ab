"""YAML and environment as one frozen, validated object.

What goes here: what sections must agree on, and where a value may come from. What does not: the sections themselves
(`sections`), and reading anything at import. `load()` is called by entry points only; everything below them receives
values.

Order of precedence: environment, the YAML file named by `IBKR_ASSETS_CONFIG`, the running embedded stack of the
data directory, defaults; limits have their own in mode sim (`risk.simulated`). An unknown variable with our prefix is
refused: a mistyped `dry_run` must not be silent.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, SecretStr, ValidationError, model_validator

from ibkr_assets.adapters.source_settings import SourceSettings
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.domain.order import Mode
from ibkr_assets.risk.configuration import RiskSettings
from ibkr_assets.risk.simulated import SIMULATED
from ibkr_assets.sections import (
    AlertSettings,
    ClusterSettings,
    DashboardSettings,
    DatabaseSettings,
    GatewaySettings,
    LlmSettings,
    MarketSettings,
    MlflowSettings,
    Section,
    StrategySettings,
    SubmitterSettings,
)

PREFIX = "IBKR_ASSETS_"
NESTED_PREFIX = "IBKR_ASSETS__"

#: Variables with a name of their own, and the key each sets.
NAMED_VARIABLES: dict[str, tuple[str, ...]] = {
    "IBKR_ASSETS_DATA_DIR": ("data_dir",),
    "IBKR_ASSETS_DATABASE_URL": ("database", "url"),
    "IBKR_ASSETS_GATEWAY_URL": ("gateway", "url"),
    "IBKR_ASSETS_GATEWAY_CA": ("gateway", "ca"),
    "IBKR_ASSETS_ACCOUNT": ("account",),
    "IBKR_ASSETS_MODE": ("mode",),
    "IBKR_ASSETS_CLOCK_URL": ("clock_url",),
    "IBKR_ASSETS_CRASH": ("crash",),
    "IBKR_ASSETS_LIVE_ARM": ("live_arm",),
    "IBKR_ASSETS_PAPER_DATABASE_URL": ("paper_database_url",),
    "MLFLOW_TRACKING_URI": ("mlflow", "tracking_uri"),
}
_OTHER_VARIABLES = {"IBKR_ASSETS_CONFIG", "IBKR_ASSETS_DEBUG", "IBKR_ASSETS_ADMIN_TOKEN", "IBKR_ASSETS_LOG"}

#: Written by a running embedded stack into its data directory (`stack.state`); gone or stale when it is not running.
STACK_FILE = "stack.json"
#: Locked by a running stack for as long as it lives: a process id proves nothing, ids are given out again.
STACK_LOCK = "stack.lock"


class Settings(Section):
    """Everything in force. `dry_run` is the default mode: nothing leaves the machine."""

    mode: Mode = Mode.DRY_RUN
    account: str | None = None
    data_dir: Path = Path(".ibkr_assets")
    clock_url: str | None = None
    crash: str | None = None
    live_arm: str | None = Field(None, description="for the submitter in mode live alone: <account_ref>:<YYYY-MM-DD>")
    paper_database_url: SecretStr | None = Field(None, description="where the paper sessions are that arming rests on")
    may_flatten: bool = Field(default=False, description="allow two persons to close everything: `kill --flatten`")
    database: DatabaseSettings = DatabaseSettings()
    gateway: GatewaySettings = GatewaySettings()
    market: MarketSettings = MarketSettings()
    risk: RiskSettings = RiskSettings()
    submitter: SubmitterSettings = SubmitterSettings()
    mlflow: MlflowSettings = MlflowSettings()
    strategies: StrategySettings = StrategySettings()
    cluster: ClusterSettings = ClusterSettings()
    sources: SourceSettings = SourceSettings()
    dashboard: DashboardSettings = DashboardSettings()
    alerts: AlertSettings = AlertSettings()
    llm: LlmSettings = LlmSettings()

    @model_validator(mode="after")
    def _sim_only(self) -> Settings:
        if self.mode in (Mode.PAPER, Mode.LIVE):
            if self.clock_url:
                raise ValueError(f"clock_url is refused in mode {self.mode}: a market clock is for sim only")
            if self.crash:
                raise ValueError(f"crash is refused in mode {self.mode}")
            if self.gateway.url and self.gateway.url.startswith("http://"):
                raise ValueError(f"gateway.url must be https in mode {self.mode}")
        if self.gateway.pace != 1 and self.mode is not Mode.SIM:
            raise ValueError(f"gateway.pace is for mode sim only, got mode {self.mode}: IBKR keeps its own")
        if self.submitter.may_resend and self.mode is Mode.LIVE:
            raise ValueError("submitter.may_resend is refused in mode live: one decision is sent once")
        if self.crash and self.mode is not Mode.SIM:
            raise ValueError(f"crash is for mode sim only, got mode {self.mode}")
        return self


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read and validate all settings. Raises ConfigurationError, one line, naming the key and where it came from."""
    env = dict(os.environ if environment is None else environment)
    values = _from_yaml(env.get("IBKR_ASSETS_CONFIG"))
    from_env = _from_environment(env)
    data_dir = Path(from_env.get("data_dir") or values.get("data_dir") or Settings().data_dir)
    merged = _merge(_from_environment(_running_stack(data_dir)), values)
    merged = _merge(merged, from_env)
    if merged.get("mode") == Mode.SIM:
        merged = _merge({"risk": dict(SIMULATED)}, merged)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise ConfigurationError(_first_problem(error)) from None


def _first_problem(error: ValidationError) -> str:
    """The first problem as one line with key and value; what holds a password is not shown."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "settings"
    more = "" if error.error_count() == 1 else f" (and {error.error_count() - 1} more)"
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown setting{more}"
    is_shown = not key.startswith(("database", "paper_database", "alerts", "dashboard.users")) and isinstance(
        first["input"], str | int | float | list
    )
    value = f", got {first['input']!r}" if is_shown else ""
    return f"{key}: {first['msg']}{value}{more}"


def _from_yaml(name: str | None) -> dict[str, Any]:
    if not name:
        return {}
    path = Path(name)
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"IBKR_ASSETS_CONFIG: no such file: {path}") from None
    except OSError as error:
        raise ConfigurationError(f"IBKR_ASSETS_CONFIG: cannot read {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise ConfigurationError(f"IBKR_ASSETS_CONFIG: {path}{line}: {problem}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigurationError(f"IBKR_ASSETS_CONFIG: {path}: expected a mapping, got {type(loaded).__name__}")
    return loaded


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in env.items():
        if name in NAMED_VARIABLES:
            if text:
                _set(values, NAMED_VARIABLES[name], text)
        elif name.startswith(NESTED_PREFIX):
            path = tuple(part.lower() for part in name.removeprefix(NESTED_PREFIX).split("__"))
            _check_key(name, path)
            _set(values, path, _plain(text))
        elif name.startswith(PREFIX) and name not in _OTHER_VARIABLES:
            raise ConfigurationError(f"{name}: unknown variable; `ibkr-assets doctor` lists the known ones")
    return values


def _plain(text: str) -> Any:
    """Lists and mappings are written as JSON in the environment; everything else is text for pydantic to read."""
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return text


def _check_key(name: str, path: tuple[str, ...]) -> None:
    model: Any = Settings
    for part in path:
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            raise ConfigurationError(f"{name}: unknown setting {'.'.join(path)}")
        model = fields[part].annotation


def _set(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
    values[path[-1]] = value


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _running_stack(data_dir: Path) -> dict[str, str]:
    """The environment of the embedded stack that runs on this data directory, or nothing."""
    try:
        state = json.loads((data_dir / STACK_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except json.JSONDecodeError:
        raise ConfigurationError(f"data_dir: {data_dir / STACK_FILE} is not JSON; remove it") from None
    if not is_stack_running(data_dir):
        return {}
    environment = state["environment"].items()
    return {str(k): str(v) for k, v in environment if k in NAMED_VARIABLES or k.startswith(NESTED_PREFIX)}


def is_stack_running(data_dir: Path) -> bool:
    """Whether a live process holds the data directory, however an earlier one may have ended."""
    import fcntl

    try:
        with (data_dir / STACK_LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    except BlockingIOError:
        return True
    return False

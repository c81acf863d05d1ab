"""What runs and what does not: the reports behind `status`, `doctor` and `env`.

Looking only: nothing here starts, mends or changes anything. What cannot be known is said to be unknown.
"""

from __future__ import annotations

import os
import shlex
from typing import Any

from ibkr_assets import bootstrap
from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.settings import Settings
from ibkr_assets.stack.checks import run_checks
from ibkr_assets.stack.probes import accepts_tcp
from ibkr_assets.stack.settings_report import list_settings
from ibkr_assets.stack.state import read_state


def status(settings: Settings) -> dict[str, Any]:
    """What runs on the data directory: `running`, `mode`, `started_at`, `ports`, `urls`, and one row a process.

    A process's `state` is `ready`, `starting` or `pausing` as its supervisor last said, `gone` when there is no such
    process any more, and `deaf` when its port takes no connection. `keep_alive_age_s` is how long ago the gateway's
    session was kept alive, None where that is not known.
    """
    data_dir = settings.data_dir.absolute()
    state = read_state(data_dir)
    if state is None:
        return {"running": False, "data_dir": str(data_dir), "mode": settings.mode.value, "processes": []}
    return {
        "running": True,
        "data_dir": str(data_dir),
        "pid": state["pid"],
        "mode": state["mode"],
        "started_at": state["started_at"],
        "ports": state["ports"],
        "urls": state["urls"],
        "keep_alive_age_s": _keep_alive_age_s(settings),
        "processes": [{**process, "state": _state_now(process)} for process in state["processes"]],
    }


def _keep_alive_age_s(settings: Settings) -> float | None:
    if settings.gateway.url is None:
        return None
    age_s = bootstrap.keep_alive_age_s(settings)
    return None if age_s is None else round(age_s, 1)


def doctor(settings: Settings) -> dict[str, Any]:
    """`settings`: key, value (redacted), source. `checks`: name, ok (None: unknown), detail, advice."""
    return {
        "settings": list_settings(settings, os.environ),
        "checks": run_checks(settings, read_state(settings.data_dir.absolute())),
    }


def env(settings: Settings) -> list[str]:
    """The running stack's variables as lines for a shell. Raises Unavailable when none runs."""
    data_dir = settings.data_dir.absolute()
    state = read_state(data_dir)
    if state is None:
        raise Unavailable(f"no stack runs on data_dir {data_dir}; start one with `ibkr-assets up`")
    return [f"export {name}={shlex.quote(value)}" for name, value in sorted(state["environment"].items())]


def _state_now(process: dict[str, Any]) -> str:
    if process["pid"] is None:
        return str(process["state"])
    try:
        os.kill(process["pid"], 0)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        pass  # it is there, and another user's
    if process["state"] == "ready" and process["port"] is not None and not accepts_tcp(process["port"])():
        return "deaf"
    return str(process["state"])

"""A command's work on record in MLflow from its beginning to its true end.

What goes here: opening the run before the work, and ending it as the work ended: well, badly, or interrupted. What does
not: how MLflow is spoken to (`adapters.mlflow`) and what is worth noting (the commands). Nothing depends on it, so a
server that is away is only told about. A process that is killed outright cannot say so; the next one does it for it.
"""

from __future__ import annotations

import os
import signal
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING, Any

from ibkr_assets.cli.output import say
from ibkr_assets.domain.errors import Unavailable

if TYPE_CHECKING:
    from ibkr_assets.adapters.mlflow import MlflowTracker, Part
    from ibkr_assets.settings import Settings

_TERMINATED = 128 + signal.SIGTERM


@dataclass
class Record:
    """What is to be noted of a piece of work; it is sent when the work has ended well."""

    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    def note(self, metrics: Mapping[str, float | None], about: Mapping[str, Any], files: Sequence[Path]) -> None:
        """Figures that are there, what was run on what, and the files that came of it."""
        self.metrics |= {key: value for key, value in metrics.items() if value is not None}
        self.params |= {key: str(value) for key, value in about.items() if value != ""}
        self.files += files


@contextmanager
def tracked(
    settings: Settings, name: str, *, is_wanted: bool, tags: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Record]:
    """Work on record under `name`, whose first word is its kind. SIGTERM ends it as an interrupt does."""
    from ibkr_assets import bootstrap

    record = Record()
    tracker = bootstrap.tracker(settings) if is_wanted else None
    run = None if tracker is None else _open(tracker, name, tags)
    if is_wanted and tracker is None:
        say("not tracked: no MLflow server is named (mlflow.tracking_uri); --no-track leaves this line out")
    if tracker is None or run is None:
        yield record
        return
    run_id, key = run
    before = signal.signal(signal.SIGTERM, _stop)
    end = "KILLED"  # what is neither an end nor an error is an interrupt
    try:
        yield record
        end = "FINISHED"
    except Exception:
        end = "FAILED"
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        _close(tracker, run_id, key, end, record, settings)


def _open(tracker: MlflowTracker, name: str, more: Mapping[str, str]) -> tuple[str, str] | None:
    """The run's id and key, after runs of processes that are gone have been ended."""
    key = f"cli-{uuid.uuid4()}"
    tags = {"run_kind": name.split(maxsplit=1)[0], "process": f"{socket.gethostname()}:{os.getpid()}", **more}
    try:
        tracker.close_lost(_is_alive)
        return tracker.open_run(name, dagster_run_id=key, tags=tags), key
    except Unavailable as error:
        say(f"not tracked: {error}")
        return None


def _close(tracker: MlflowTracker, run_id: str, key: str, end: str, record: Record, settings: Settings) -> None:
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.mlflow import RunEnd

    version = bootstrap.version(settings)
    rests_on = {"code_sha256": version.code_sha256, "config_sha256": version.config_sha256,
                "package_version": version.package_version, "git_commit": version.git_commit or "none"}  # fmt: skip
    try:
        try:
            tracker.log(run_id, metrics=record.metrics, params=record.params | rests_on)
            for path in record.files:
                tracker.log_file(run_id, path.name, path.read_bytes())
            if record.parts:
                tracker.log_parts(run_id, record.parts, RunEnd(end))
        finally:
            tracker.close_run(key, RunEnd(end))
        say(f"tracked{'' if end == 'FINISHED' else f' as {end}'}: {tracker.url_of(run_id) or run_id}")
    except Unavailable as error:
        say(f"not tracked: {error}")


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(_TERMINATED)


def _is_alive(process: str) -> bool:
    """Whether a process of this machine is there; one of another machine is taken to be."""
    host, _, pid = process.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""What runs print, in the files that Dagster's page shows.

What goes here: how it gets there. What does not: structured logs (`logs`). Dagster's own also repeats it on the
launching process's output, by four more processes a run, two of them interpreters that begin and end with it: a quarter
of a second of a run that takes two.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager
from dagster._utils import ensure_file, touch_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dagster import DagsterInstance
    from dagster._config.config_schema import UserConfigSchema
    from dagster._serdes import ConfigurableClassData


class RunOutput(LocalComputeLogManager):
    """Dagster's own local output of runs, written and not repeated. Named in `dagster.yaml` under `compute_logs`.

    Takes no configuration: the files lie where Dagster's own would, in `storage` of the instance.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir="", inst_data=inst_data)

    def register_instance(self, instance: DagsterInstance) -> None:
        """Take the instance, which says where its files are."""
        super().register_instance(instance)
        self._base_dir = str(Path(instance.root_directory) / "storage")

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """No configuration."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> RunOutput:
        """Make one from `dagster.yaml`."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Both streams of this process go to files until the block ends."""
        out, err = (
            self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind])
            for kind in (ComputeIOType.STDOUT, ComputeIOType.STDERR)
        )
        ensure_file(out)
        ensure_file(err)
        with redirect_to_file(sys.stdout, out), redirect_to_file(sys.stderr, err):
            yield CapturedLogContext(log_key)
        touch_file(self.complete_artifact_path(log_key))  # type: ignore[no-untyped-call]

"""The platform's own modules, loaded once for all runs, and forgotten by a run when one of them was edited since.

What goes here: which modules those are and how an edit is noticed. What does not: other people's libraries and how a
run starts (`stack.launcher`). Importing them costs each run 0.15 s; looking at their files costs a millisecond.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

#: What the five assets and their resources import. `definitions` is not among them: loading it reads the settings.
MODULES = (
    "ibkr_assets.bootstrap", "ibkr_assets.settings",
    "ibkr_assets.defs.raw_bars", "ibkr_assets.defs.validated_bars", "ibkr_assets.defs.enriched_features",
    "ibkr_assets.defs.signals", "ibkr_assets.defs.orders", "ibkr_assets.defs.jobs", "ibkr_assets.defs.partitions",
    "ibkr_assets.defs.resources", "ibkr_assets.defs.schedules", "ibkr_assets.defs.sensors",
    "ibkr_assets.defs.tracking", "ibkr_assets.ingest.bars", "ibkr_assets.ingest.features",
    "ibkr_assets.ingest.validation", "ibkr_assets.features.compute", "ibkr_assets.features.chart",
    "ibkr_assets.strategies.decide", "ibkr_assets.strategies.registry", "ibkr_assets.execution.propose",
    "ibkr_assets.adapters.clock", "ibkr_assets.adapters.code", "ibkr_assets.adapters.mlflow",
    "ibkr_assets.adapters.ibkr.client",
    "ibkr_assets.adapters.postgres.bars", "ibkr_assets.adapters.postgres.intents",
    "ibkr_assets.adapters.postgres.strategies", "ibkr_assets.market.calendar",
)  # fmt: skip


class OwnCode:
    """The modules of one package. `load` is for the process that is forked, `forget_when_edited` for its children."""

    def __init__(self, modules: Sequence[str] = MODULES) -> None:
        self._modules = modules
        self._package = modules[0].partition(".")[0]
        self._looks: dict[Path, tuple[int, int]] = {}
        self._is_sure = False

    def load(self) -> None:
        """Import the modules and remember how every file of the package that was read looked."""
        began_ns = time.time_ns()
        for name in self._modules:
            importlib.import_module(name)
        files = [module.__file__ for module in self._loaded().values()]
        self._looks = {Path(path): _look(Path(path)) for path in files if path is not None}
        # One that was written while it was read may be older in memory than on disk.
        self._is_sure = all(changed_ns < began_ns for changed_ns, _ in self._looks.values())

    def forget_when_edited(self) -> bool:
        """Forget every module of the package when a file has changed since `load`; tells whether that was so."""
        if self._is_sure and all(_look(path) == look for path, look in self._looks.items()):
            return False
        for name in self._loaded():
            del sys.modules[name]
        return True

    def _loaded(self) -> dict[str, ModuleType]:
        return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == self._package}


#: The platform's.
own_code = OwnCode()


def _look(path: Path) -> tuple[int, int]:
    """When a file was changed last, in nanoseconds, and its size. One that is not there looks like none that is."""
    if not path.exists():
        return (0, 0)
    status = path.stat()
    return (status.st_mtime_ns, status.st_size)

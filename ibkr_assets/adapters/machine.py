"""How the machine is that decides about an order: what runs on it, and the room on its disk.

What goes here: measuring and hashing. What does not: how much is enough (`risk.platform`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from ibkr_assets.adapters.code import code_sha256
from ibkr_assets.risk.facts import PlatformFacts, Versions


def versions_of(*deciding: Any) -> Versions:
    """The code of this process, and the hash of everything given, which JSON must be able to carry."""
    text = json.dumps(deciding, sort_keys=True)
    return Versions(code=code_sha256(), configuration=hashlib.sha256(text.encode()).hexdigest(), schema="")


def measure(directory: Path, versions: Versions) -> PlatformFacts:
    """The disk of `directory`, or of the nearest directory above it that is there; None where it cannot be read."""
    place = next((path for path in (directory, *directory.absolute().parents) if path.is_dir()), Path("/"))
    try:
        usage = shutil.disk_usage(place)
    except OSError:
        return PlatformFacts(own=versions)
    return PlatformFacts(own=versions, disk_free_bytes=usage.free, disk_size_bytes=usage.total)

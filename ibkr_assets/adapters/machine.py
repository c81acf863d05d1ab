"""How the machine is that decides about an order: the room on its disk.

What goes here: measuring. What does not: what runs on it (`adapters.version`), and how much is enough
(`risk.platform`).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ibkr_assets.risk.facts import PlatformFacts, Versions


def measure(directory: Path, versions: Versions) -> PlatformFacts:
    """The disk of `directory` beside the versions that run; None where it cannot be read."""
    room = disk_room(directory)
    if room is None:
        return PlatformFacts(own=versions)
    return PlatformFacts(own=versions, disk_free_bytes=room[0], disk_size_bytes=room[1])


def disk_room(directory: Path) -> tuple[int, int] | None:
    """Free and all bytes of the disk of `directory`, or of the nearest directory above it that is there."""
    place = next((path for path in (directory, *directory.absolute().parents) if path.is_dir()), Path("/"))
    try:
        usage = shutil.disk_usage(place)
    except OSError:
        return None
    return usage.free, usage.total
